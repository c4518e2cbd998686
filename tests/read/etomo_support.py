"""Command files of etomo."""

from __future__ import annotations

IDENTITY = "1 0 0 1 0 0\n"


def tilt_com(*lines, full="FULLIMAGE 8 6"):
    head = ["# Command file to run Tilt", "$setenv IMOD_OUTPUT_FORMAT MRC", "$tilt -StandardInput"]
    return "\n".join(
        [*head, "InputProjections ts_ali.mrc", "TILTFILE ts.tlt", full, *lines, "$if (-e ./savework) ./savework"]
    )


def newst_com(*lines):
    return "\n".join(
        ["$newstack -StandardInput", "InputFile\tts.mrc", "OutputFile\tts_ali.mrc", "TransformFile\tts.xf", *lines]
    )
