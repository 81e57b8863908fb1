"""Many task files are one report: what lives is priced as it is, what is wrong is a row, and the worst decides."""

from __future__ import annotations

from tests.e2e.conftest import Sky

PRICES = "prices: {machines: [{cloud: local, instance_type: this-machine, price: 0.4}]}\n"
TASK = "name: NAME\nresources: {infra: local, cpus: 0.2, memory: 0.2}\nrun: echo ran\n"


def test_a_folder_of_tasks_is_one_report(sky: Sky) -> None:
    (sky.folder / ".skywright.yaml").write_text(PRICES)
    folder = sky.folder / "tasks"
    folder.mkdir()
    sky.task("num_nodes: 1\n" + TASK.replace("NAME", "lives"), "tasks/a.yaml")
    sky.run("up", "--yes", "--keep", str(folder / "a.yaml"))
    sky.task("num_nodes: 2\n" + TASK.replace("NAME", "lives"), "tasks/a.yaml")
    two = "---\n".join(TASK.replace("NAME", name) for name in ("one", "two"))
    sky.task(two, "tasks/b.yaml")
    sky.task(TASK.replace("NAME", "lives"), "tasks/c.yaml")
    sky.task("num_nods: 1\n", "tasks/d.yaml")

    report = sky.json("preview", str(folder), code=2)
    assert (report["version"], report["changed"], report["unchanged"], report["failed"]) == (1, 3, 0, 2)
    by_file = {(stack["file"].rpartition("/")[2], stack["name"]): stack for stack in report["stacks"]}
    grown = by_file["a.yaml", "lives"]["cost"]
    assert (grown["hourly_before"], grown["hourly_after"], grown["hourly"]) == (0.4, 0.8, 0.4)
    assert [one["field"] for one in by_file["a.yaml", "lives"]["fields"]] == ["num_nodes"]
    codes = [stack["problem"]["code"] for stack in report["stacks"] if stack["problem"]]
    assert codes == ["usage/same-deployment", "task/unknown-field"]
    assert report["closing"].startswith("cost +")

    text = sky.run("preview", "--format", "markdown", str(folder), code=2).stdout
    assert text.startswith("### Skywright: 3 stacks change, ")
    assert "2 stacks cannot be previewed" in text.splitlines()[0]
    assert "usage/no-task-files" in sky.run("preview", str(sky.folder / "no*.yaml"), code=2).stderr
