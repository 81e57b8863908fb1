"""skywright: what people and programs use. Importing this imports nothing heavy: names load when they are used."""

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from compiler.problem import Place, Problem, Problems
    from skywright.api import jobs, serve
    from skywright.api.clouds import (
        AWS,
        DO,
        GCP,
        IBM,
        OCI,
        SCP,
        SSH,
        Azure,
        Cloud,
        Cudo,
        Fluidstack,
        Hyperbolic,
        Kubernetes,
        Lambda,
        Local,
        Mithril,
        Nebius,
        Paperspace,
        PrimeIntellect,
        RunPod,
        Seeweb,
        Shadeform,
        Slurm,
        Vast,
        Verda,
        Vsphere,
        Yotta,
    )
    from skywright.api.dag import Dag
    from skywright.api.deployments import (
        autostop,
        cancel,
        cost_report,
        down,
        download_logs,
        endpoints,
        job_status,
        queue,
        start,
        status,
        stop,
        tail_logs,
    )
    from skywright.api.following import Handle, get, stream_and_get
    from skywright.api.launching import exec, explain, launch, optimize, validate
    from skywright.api.machines import check, enabled_clouds, list_accelerators
    from skywright.api.resources import Ordered, Resources, Storage, ordered
    from skywright.api.task import Task

__all__ = (
    "AWS",
    "DO",
    "GCP",
    "IBM",
    "OCI",
    "SCP",
    "SSH",
    "Azure",
    "Cloud",
    "Cudo",
    "Dag",
    "Fluidstack",
    "Handle",
    "Hyperbolic",
    "Kubernetes",
    "Lambda",
    "Local",
    "Mithril",
    "Nebius",
    "Ordered",
    "Paperspace",
    "Place",
    "PrimeIntellect",
    "Problem",
    "Problems",
    "Resources",
    "RunPod",
    "Seeweb",
    "Shadeform",
    "Slurm",
    "Storage",
    "Task",
    "Vast",
    "Verda",
    "Vsphere",
    "Yotta",
    "__version__",
    "autostop",
    "cancel",
    "check",
    "cost_report",
    "down",
    "download_logs",
    "enabled_clouds",
    "endpoints",
    "exec",
    "explain",
    "get",
    "job_status",
    "jobs",
    "launch",
    "list_accelerators",
    "optimize",
    "ordered",
    "queue",
    "serve",
    "start",
    "status",
    "stop",
    "stream_and_get",
    "tail_logs",
    "validate",
)

_CLOUDS = (
    *("AWS", "DO", "GCP", "IBM", "OCI", "SCP", "SSH", "Azure", "Cloud", "Cudo", "Fluidstack", "Hyperbolic"),
    *("Kubernetes", "Lambda", "Local", "Mithril", "Nebius", "Paperspace", "PrimeIntellect", "RunPod"),
    *("Seeweb", "Shadeform", "Slurm", "Vast", "Verda", "Vsphere", "Yotta"),
)
_DEPLOYMENTS = (
    *("autostop", "cancel", "cost_report", "down", "download_logs", "endpoints", "job_status", "queue"),
    *("start", "status", "stop", "tail_logs"),
)
_HOMES = {
    "compiler.problem": ("Place", "Problem", "Problems"),
    "skywright.api": ("jobs", "serve"),
    "skywright.api.clouds": _CLOUDS,
    "skywright.api.dag": ("Dag",),
    "skywright.api.deployments": _DEPLOYMENTS,
    "skywright.api.following": ("Handle", "get", "stream_and_get"),
    "skywright.api.launching": ("exec", "explain", "launch", "optimize", "validate"),
    "skywright.api.machines": ("check", "enabled_clouds", "list_accelerators"),
    "skywright.api.resources": ("Ordered", "Resources", "Storage", "ordered"),
    "skywright.api.task": ("Task",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Load what is asked for, once."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    if home == "skywright.api":
        found: object = importlib.import_module(f"{home}.{name}")
    else:
        found = getattr(importlib.import_module(home), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
