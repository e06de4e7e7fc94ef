"""TensorBoard shows the epochs that count."""

from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bigfusion.model.runs.folder import Epoch
from bigfusion.model.training.events import FOLDER, Events


def epoch(number: int, loss: float) -> Epoch:
    return Epoch(
        epoch=number,
        loss=loss,
        parts={},
        learning_rate=1e-3,
        gradient_norm=1.0,
        rates={},
        valid_loss=0.5,
        valid_weighted_f1=0.5,
        valid_accuracy=0.5,
        seconds=1.0,
    )


def test_epochs_that_a_killed_process_left_are_shown_as_they_were_trained_again(tmp_path: Path) -> None:
    for first, loss in ((1, 0.9), (2, 0.3)):
        with Events(tmp_path, first) as events:
            for number in (first, first + 1):
                events.write(epoch(number, loss / number))
    shown = EventAccumulator(str(tmp_path / FOLDER)).Reload().Scalars("loss/train")
    assert [event.step for event in shown] == [1, 2, 3]
    assert shown[1].value < 0.2, "of the second process"
