"""The exporters as the plugin declares them."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from gazecut.components import ComponentSpec
from gazecut.errors import OutputError
from gazecut.options import Options
from gazecut.output import export_result
from gazecut_plugins.plugin import register_exporter


def declared() -> dict[str, ComponentSpec]:
    specs: dict[str, ComponentSpec] = {}
    register_exporter(lambda spec: specs.update({spec.name: spec}))
    return specs


def test_all_of_the_output_folder_has_an_exporter():
    assert set(declared()) == {"masks", "overlay", "heatmaps", "sheet", "manifest"}


@pytest.mark.parametrize("name", ["masks", "overlay", "heatmaps", "sheet", "manifest"])
def test_each_is_built_from_nothing_and_writes(name, make_result, tmp_path):
    spec = declared()[name]
    config = _named(spec.config)
    assert issubclass(config, Options)
    assert all(field.description for field in config.model_fields.values()), "every option has a meaning"
    exporter = _named(spec.target)(config())
    assert type(exporter).__name__.endswith("Exporter")
    export_result(make_result(), [exporter], tmp_path)
    assert any(tmp_path.iterdir())


def _named(target: str) -> type:
    module, _, name = target.partition(":")
    found = getattr(import_module(module), name)
    assert isinstance(found, type)
    return found


def test_options_import_neither_pictures_nor_video():
    code = "import sys, gazecut_plugins.exporters.config; print(sorted({'av', 'cv2', 'PIL', 'numpy', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_a_result_is_saved_whole_or_not_at_all(make_result, tmp_path):
    exporters = tuple(_named(spec.target)(_named(spec.config)()) for spec in declared().values())
    result = make_result(exporters=exporters)
    assert result.save(tmp_path / "out") == tmp_path / "out"
    files = sorted(str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*") if file.is_file())
    masks = [f"masks/{frame:05d}.png" for frame in range(6)]
    assert files == ["evidence/heatmaps.safetensors", "evidence/sheet.png", "masks.json", *masks, "overlay.mp4", "run.json"]
    with pytest.raises(OutputError, match="not JSON"):
        make_result(exporters=exporters, manifest={"bad": object()}).save(tmp_path / "new")
    assert not (tmp_path / "new").exists()
