import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from small_data import TEXTS, prediction, train

from pilot.contract import ModelUnavailable
from pilot.models.onnx import OnnxTextClassifier, TextProbabilities
from pilot.models.store import Artefact, ModelStore, load_active
from pilot.settings import Settings


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    train(folder)
    return folder


@pytest.fixture
def settings(trained: Path, tmp_path: Path) -> Settings:
    """Of a pilot with one trained model, to be spoiled freely."""
    shutil.copytree(trained / "var", tmp_path / "var")
    return Settings(root=tmp_path)


@pytest.fixture
def place(settings: Settings) -> Path:
    """The folder of the version in force."""
    version = ModelStore(settings.models).active()
    assert version
    return settings.models / version


def test_an_empty_store_has_no_model_and_says_what_to_do(tmp_path: Path) -> None:
    assert ModelStore(tmp_path).active() is None
    with pytest.raises(ModelUnavailable, match="pilot model train"):
        load_active(Settings(root=tmp_path))


def test_the_version_is_the_hash_of_what_decides_the_answers(settings: Settings) -> None:
    artefact = load_active(settings)
    for change in ({"labels": ("a", "b", "c")}, {"steps": "other"}, {"onnx_sha256": "0"}, {"data_sha256": "0"}):
        assert artefact.card.model_copy(update=change).version != artefact.card.version
    for change in ({"created": "2000-01-01"}, {"accuracy": 0.5}, {"learning_curve": ()}, {"libraries": {}}):
        assert artefact.card.model_copy(update=change).version == artefact.card.version


def test_a_model_from_before_the_learning_curve_still_loads(settings: Settings, place: Path) -> None:
    card = json.loads((place / "model.json").read_text())
    assert len(card.pop("learning_curve")) == 3
    (place / "model.json").write_text(json.dumps(card))
    assert load_active(settings).card.learning_curve == ()


def test_a_card_from_before_there_were_tasks_still_loads_with_its_version(settings: Settings, place: Path) -> None:
    card = json.loads((place / "model.json").read_text())
    for later in ("task", "beside_sha256", "scores"):
        del card[later]
    (place / "model.json").write_text(json.dumps(card))
    loaded = load_active(settings, "classify").card
    assert (loaded.version, loaded.task) == (place.name, "classify")
    assert (loaded.score.name, loaded.score.value) == ("accuracy", loaded.accuracy)
    decisive = [card["labels"], card["steps"], card["onnx_sha256"], card["data_sha256"]]
    assert loaded.version == hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:16]


def test_a_card_lacks_nothing_that_its_task_needs(settings: Settings, place: Path) -> None:
    card = json.loads((place / "model.json").read_text())
    for change in ({"labels": ["one"]}, {"accuracy": None}, {"task": "score", "accuracy": None}, {"task": "paint"}):
        (place / "model.json").write_text(json.dumps(card | change))
        with pytest.raises(ModelUnavailable, match="does not describe a model"):
            load_active(settings)


def test_the_built_in_store_answers_until_the_pilot_has_its_own_model(settings: Settings) -> None:
    settings.models.rename(settings.default_models)
    built_in = load_active(settings)
    store = ModelStore(settings.models)
    own = Artefact(built_in.card.model_copy(update={"data_sha256": "another"}), built_in.onnx)
    version = store.save(own)
    assert load_active(settings) == built_in
    store.activate(version)
    assert load_active(settings) == own


def test_a_spoiled_own_model_is_not_replaced_by_the_built_in_one(settings: Settings, place: Path) -> None:
    shutil.copytree(settings.models, settings.default_models)
    (place / "model.onnx").unlink()
    with pytest.raises(ModelUnavailable):
        load_active(settings)


def flip_a_weight(place: Path) -> None:
    """Changes one byte such that ONNX Runtime still loads the model, so nothing but the hash can see it."""
    file = place / "model.onnx"
    content = bytearray(file.read_bytes())
    before = TextProbabilities(bytes(content))(TEXTS)
    for position in range(len(content) - 1, 0, -1):
        content[position] ^= 0x40
        try:
            if not np.array_equal(TextProbabilities(bytes(content))(TEXTS), before):
                break
        except Exception:  # A byte of the structure; another is a weight.
            pass
        content[position] ^= 0x40
    file.write_bytes(content)


def swap_labels(place: Path) -> None:
    card = json.loads((place / "model.json").read_text())
    card["labels"].reverse()
    (place / "model.json").write_text(json.dumps(card))


def swap_model_and_its_hash(place: Path) -> None:
    (place / "model.onnx").write_bytes(b"another model")
    card = json.loads((place / "model.json").read_text())
    card["onnx_sha256"] = hashlib.sha256(b"another model").hexdigest()
    (place / "model.json").write_text(json.dumps(card))


def truncate(place: Path) -> None:
    file = place / "model.onnx"
    file.write_bytes(file.read_bytes()[:-100])


def link_outside(name: str) -> Callable[[Path], None]:
    def spoil(place: Path) -> None:
        (place / name).rename(place.parents[2] / name)
        (place / name).symlink_to(place.parents[2] / name)

    return spoil


def link_the_folder_outside(place: Path) -> None:
    elsewhere = place.parents[2] / "elsewhere"
    place.rename(elsewhere)
    place.symlink_to(elsewhere)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(flip_a_weight, "model.onnx is not the file that was trained", id="one byte changed"),
        pytest.param(truncate, "model.onnx is not the file that was trained", id="truncated"),
        pytest.param(lambda place: (place / "model.onnx").write_bytes(b""), "is not the file", id="empty"),
        pytest.param(swap_labels, "model.json was changed", id="labels swapped"),
        pytest.param(swap_model_and_its_hash, "model.json was changed", id="model and its hash swapped"),
        pytest.param(lambda place: (place / "model.onnx").unlink(), "model.onnx cannot be read", id="no model"),
        pytest.param(lambda place: (place / "model.json").unlink(), "model.json cannot be read", id="no card"),
        pytest.param(lambda place: (place / "model.json").write_text("{"), "does not describe", id="card not JSON"),
        pytest.param(
            lambda place: (place / "model.json").write_text("{}"), "does not describe", id="card without fields"
        ),
        pytest.param(shutil.rmtree, "cannot be read", id="no folder"),
        pytest.param(link_outside("model.onnx"), "link to outside", id="model is a link to outside"),
        pytest.param(link_outside("model.json"), "link to outside", id="card is a link to outside"),
        pytest.param(link_the_folder_outside, "link to outside", id="folder is a link to outside"),
        pytest.param(lambda p: (p.parent / "active").write_text("../../x"), "does not name", id="active names a path"),
        pytest.param(lambda p: (p.parent / "active").write_text("0" * 16), "cannot be read", id="active names nothing"),
        pytest.param(lambda p: (p.parent / "active").write_bytes(b"\xff\x00"), "does not name", id="active is garbage"),
    ],
)
def test_a_model_that_is_not_as_it_was_saved_is_refused_and_training_again_mends_it(
    settings: Settings, place: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(place)
    with pytest.raises(ModelUnavailable, match=message) as refusal:
        OnnxTextClassifier.load(settings, text=str, prediction=prediction)
    assert str(settings.models) in str(refusal.value)
    assert "pilot model train" in str(refusal.value)

    train(settings.root)
    assert OnnxTextClassifier.load(settings, text=str, prediction=prediction).version == place.name
    assert not place.is_symlink()


def test_a_version_that_does_not_load_is_not_put_in_force(settings: Settings, place: Path) -> None:
    store = ModelStore(settings.models)
    truncate(settings.models / store.save(broken := Artefact(load_active(settings).card, b"broken")))
    assert broken.card.version == place.name
    (settings.models / "active").unlink()
    with pytest.raises(ModelUnavailable):
        store.activate(place.name)
    assert store.active() is None


def test_the_store_itself_may_be_a_link_and_hold_links_within(settings: Settings, place: Path) -> None:
    (place / "model.onnx").rename(place / "data")
    (place / "model.onnx").symlink_to("data")
    mounted = settings.root / "mounted"
    settings.models.rename(mounted)
    settings.models.symlink_to(mounted)
    assert load_active(settings).card.version == place.name


def test_saving_leaves_no_drafts_behind(settings: Settings, place: Path) -> None:
    files = {str(path.relative_to(settings.models)) for path in settings.models.rglob("*") if path.is_file()}
    assert files == {"active", f"{place.name}/model.onnx", f"{place.name}/model.json"}
