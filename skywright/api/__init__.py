"""What `import skywright as sky` gives, by topic; skywright/__init__.py loads each when it is asked for."""
