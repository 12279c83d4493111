"""Every process of a run of ours has fault points."""

from django.apps import AppConfig


class BenchConfig(AppConfig):
    name = "bench"

    def ready(self) -> None:
        """Models are loaded only now."""
        from bench import fault_points  # noqa: PLC0415

        fault_points.install()
