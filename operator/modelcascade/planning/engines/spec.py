"""What every engine file answers: the part of a tier's pod that differs from engine to engine."""

from dataclasses import dataclass

__all__ = ["PORT", "EngineSpec"]

PORT = 8080
"""Every engine is told to listen here, whatever its own default is."""


@dataclass(frozen=True)
class EngineSpec:
    """One engine container, as far as it depends on the engine."""

    image: str
    args: tuple[str, ...]
    health_path: str
    startup_s: int
    """Seconds that loading may take before the container is restarted."""

    drain_s: int
    """preStop: seconds between the pod's removal from the endpoints and SIGTERM."""

    grace_s: int
    """terminationGracePeriodSeconds: `drain_s` and what the engine needs after SIGTERM."""
