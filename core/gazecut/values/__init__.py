"""What flows through the pipeline: frozen values that check themselves."""

from gazecut.values.frames import Frames
from gazecut.values.maps import Cell, GridLayout, HeatMaps, MapSet, QueryMaps
from gazecut.values.masks import MaskTrack
from gazecut.values.points import Points
from gazecut.values.questions import Answer, PromptTokens, Query, Question, Steering, Trace, TraceLayer, TraceSpec
from gazecut.values.tracklets import Candidates, FrameMasks, Judgement, Tracklet, Tracklets

__all__ = [
    "Answer",
    "Candidates",
    "Cell",
    "FrameMasks",
    "Frames",
    "GridLayout",
    "HeatMaps",
    "Judgement",
    "MapSet",
    "MaskTrack",
    "Points",
    "PromptTokens",
    "Query",
    "QueryMaps",
    "Question",
    "Steering",
    "Trace",
    "TraceLayer",
    "TraceSpec",
    "Tracklet",
    "Tracklets",
]
