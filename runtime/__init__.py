"""The agent: what runs on a node, standard library only, Python 3.9 syntax, no import from the rest of the project.

On a node it is a folder addressed by its content: every `*.py` of this package, side by side, nothing else; the hash
is the cloud's (stacks). It is started as `python3 -I -S -E FOLDER/agent.py MANIFEST`; `agent.py` makes the folder
importable as the package `runtime`, so that `from runtime.link import ...` means the same there and in a checkout.
"""
