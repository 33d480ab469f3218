"""TensorBoard's entry point; imports nothing that could fail, because TensorBoard loads it bare.

An exception here would keep TensorBoard from starting, for every user of the environment.
"""

from __future__ import annotations

from typing import Any

from tensorboard.plugins import base_plugin


class Loader(base_plugin.TBLoader):  # type: ignore[misc]
    """Makes the plugin, and asks TensorBoard to keep every step that it shows."""

    def define_flags(self, parser: Any) -> None:
        """Add no flags: everything works without."""

    def fix_flags(self, flags: Any) -> None:
        """Keep all our steps; a `--samples_per_plugin=xai=N` of the user stays.

        TensorBoard's Python loader keeps 10 random events of a plugin it does not know, its fast
        loader 100. Ours are small, and step 0 is what everything is compared with.
        """
        try:
            flags.samples_per_plugin = {"xai": 0, **(flags.samples_per_plugin or {})}
        except Exception:
            return

    def load(self, context: Any) -> Any:
        """Return the plugin, or None when it cannot be imported."""
        try:
            from tb_xai.plugin import Plugin

            return Plugin(context)
        except Exception as error:
            import logging

            logging.getLogger("tensorboard").warning("tb_xai could not be loaded: %s", error)
            return None
