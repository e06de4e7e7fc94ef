"""A table without labels: its features can be had, and training says in a line that there is nothing to learn."""

from bigfusion.flows import cli
from tests.helpers.command_line import fails
from tests.helpers.tiny_media import write_wav

SETTINGS = '[corpus]\nkind = "table"\npath = "t.csv"\n[model]\nmodalities = ["audio"]\n'


def test_a_table_without_labels_is_extracted_and_not_trained_on(tmp_path, capsys):
    write_wav(tmp_path / "a.wav", seconds=1)
    rows = "".join(f"d{row},0,s{row},hi,a.wav\n" for row in range(3))
    (tmp_path / "t.csv").write_text(f"dialogue,turn,speaker,text,media\n{rows}", encoding="utf-8")
    config = tmp_path / "bigfusion.toml"
    config.write_text(SETTINGS, encoding="utf-8")
    message = fails(capsys, "run", "--config", str(config))
    assert "nothing to learn: expected utterances with labels, found none" in message
    assert "`bigfusion extract` computes the features" in message
    assert not (tmp_path / "work/runs").exists()
    assert cli.main(["extract", "--config", str(config), "--json"]) == 0
    assert '"done": 3' in capsys.readouterr().out
    assert "nothing to learn" in fails(capsys, "train", "--config", str(config))
