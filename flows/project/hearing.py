"""A transcript for every recording that is to be predicted: given, beside it, or made by speech recognition."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from bigfusion.flows.progress import bar
from bigfusion.flows.project.settings import Project
from bigfusion.pipeline.atomic import write_whole
from bigfusion.pipeline.corpora.subtitles import SubtitleSettings, media_files, transcripts_of
from bigfusion.pipeline.digests.values import digest
from bigfusion.pipeline.errors import CorpusError, MediaError
from bigfusion.pipeline.media.facts import media_facts
from bigfusion.pipeline.transcripts.read import read_transcript

log = logging.getLogger("bigfusion")

FOLDER = "transcripts"
"""Where the workspace keeps the transcripts that recognition made."""


def heard(project: Project, names: Mapping[str, str]) -> Project:
    """The project with a transcript for each recording. What has none is recognised; that needs the extra ``speech``.

    ``names`` gives recognised speakers their names: ``{"S1": "Anna"}``. If ``predict.speakers`` says how many there
    are, speakers are also told apart in transcripts that name none.

    Raises:
        CorpusError: a file is no recording, has no sound, or nobody speaks in it.
        ExtractionError: the extra ``speech`` or one of its models is missing.
    """
    corpus = project.corpus
    assert isinstance(corpus, SubtitleSettings)
    if corpus.whole:
        return project
    paths = media_files(corpus, all_of_folders=True)
    given = transcripts_of(corpus, paths)
    if len(given) != len(paths):  # the scan says so
        return project
    transcripts = [
        _recognised(project, path, names) if transcript is None else _with_speakers(project, path, transcript)
        for path, transcript in zip(paths, given, strict=True)
    ]
    media = corpus.media if corpus.transcripts else tuple(paths)
    known = corpus.model_copy(update={"media": media, "transcripts": tuple(transcripts)})
    return project.model_copy(update={"corpus": known})


def _recognised(project: Project, media: Path, names: Mapping[str, str]) -> Path:
    from bigfusion.extractors.speech import transcript

    facts = media_facts(media)
    if not facts.has_sound:
        raise CorpusError(
            f"{media}: expected a transcript beside it or sound to make one from, found neither; name a transcript with"
            " --subtitles"
        )
    log.info("predict: %s: no transcript beside it: its speech is recognised", media.name)
    try:
        with bar(f"listen {media.name}", round(facts.seconds), " s") as progress:
            path = transcript.transcribe(
                media, project.predict, project.work / FOLDER, names, project.files.digests().one, _steps(progress)
            )
    except MediaError as error:
        raise CorpusError(f"{media}: {error.reason}; name a transcript with --subtitles") from None
    found = transcript.read_transcript(path)
    if not found.segments:
        raise CorpusError(f"{media}: expected speech, found none to recognise; name a transcript with --subtitles")
    for note in found.notes:
        log.info("predict: %s: %s", media.name, note)
    return path


def _steps(progress: Callable[[int], None]) -> Callable[[float], None]:
    """Whole steps for a bar from seconds as they come."""
    done = 0.0

    def advance(seconds: float) -> None:
        nonlocal done
        before, done = int(done), done + seconds
        progress(int(done) - before)

    return advance


def _with_speakers(project: Project, media: Path, path: Path) -> Path:
    """The transcript, with its speakers told apart if it names none and their number is given."""
    assert isinstance(project.corpus, SubtitleSettings)
    if project.predict.speakers is None or project.corpus.speakers:
        return path
    known = read_transcript(path, project.corpus.encoding, media)
    if any(cue.speaker for cue in known.cues):
        return path
    from bigfusion.extractors.speech.transcript import speakers_of

    spans = [(cue.start, cue.end) for cue in known.cues]
    speakers = speakers_of(media, spans, project.predict, project.work / FOLDER, project.files.digests().one)
    segments = [
        {"start": cue.start, "end": cue.end, "text": cue.text, "speaker": speaker or "", "label": cue.label}
        for cue, speaker in zip(known.cues, speakers, strict=True)
    ]
    named = project.work / FOLDER / f"{path.stem}-{digest(segments)[:16]}.json"
    write_whole(named, json.dumps({"segments": segments}, ensure_ascii=False).encode())
    return named
