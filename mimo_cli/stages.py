"""THE MAP: every stage, what it reads and what it writes, in the order of the walk.

    video ──ingest──> clip ──people──> landmarks ──background, gather──> first plate ──segment──> human mask
                                           └──fit──> motion, camera                       ──plate──> occlusion, scene,
                                                        └──preview, surface, sdc──>                  depth, light
                                                                  the body, drawn
    picture ──cutout──> joints ──lift──> puppet ──animate──> human, shadow ──compose──> out

A project of a video walks `VIDEO_STAGES`; a project of a motion file, with nothing filmed, walks `MOTION_STAGES`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mimo_cli.runs import animation, clip, conditions, diffuse, identity, layers, light, motion, people, preview, render
from mimo_cli.slots import (
    BACK,
    BACKDROP,
    BACKGROUND,
    BODY,
    CAMERA,
    CANONICAL,
    CLIP,
    CUTOUT,
    DEPTH,
    FIRST_PLATE,
    FRAMES,
    HUMAN,
    HUMAN_MASK,
    JOINTS,
    LANDMARKS,
    LIGHT,
    LOOK,
    LOOK_LOSSLESS,
    MAPPING,
    MASK,
    MOTION,
    OCCLUSION,
    OTHERS,
    OUT,
    OUT_ALPHA,
    OUT_LOSSLESS,
    PEOPLE,
    PLATE,
    PREVIEW,
    PROFILE,
    PROPS,
    PUPPET,
    REFERENCE,
    ROSTER,
    ROUGH,
    SCENE,
    SCENE_LIGHT,
    SDC,
    SHADOW,
    SHAPE,
    SHUTTER,
    SKELETON,
    SURFACE,
    TRACKS,
    VIDEO,
)
from mimo_cli.stage import Stage

INGEST = Stage(
    name="ingest",
    version=1,
    about="read the video",
    reads=(VIDEO,),
    writes=(CLIP, FRAMES),
    run=clip.ingest,
)
FIND_PEOPLE = Stage(
    name="people",
    version=6,
    about="find the person and follow them",
    reads=(VIDEO, CLIP),
    writes=(TRACKS, LANDMARKS, OTHERS, ROSTER, ROUGH),
    params=people.PeopleParams,
    run=people.people,
)
TRACK_BACKGROUND = Stage(
    name="background",
    version=9,
    about="follow the camera",
    reads=(VIDEO, CLIP, TRACKS, LANDMARKS, ROUGH),
    writes=(BACKGROUND,),
    run=layers.background,
)
GATHER = Stage(
    name="gather",
    version=12,
    about="gather the background",
    reads=(VIDEO, CLIP, TRACKS, LANDMARKS, OTHERS, ROUGH, BACKGROUND),
    writes=(FIRST_PLATE,),
    run=layers.gather,
)
SEGMENT = Stage(
    name="segment",
    version=16,
    about="cut the person out",
    reads=(VIDEO, CLIP, TRACKS, LANDMARKS, OTHERS, ROUGH, BACKGROUND, FIRST_PLATE),
    writes=(HUMAN_MASK,),
    params=layers.SegmentParams,
    weights=layers.network_weights,
    run=layers.segment,
)
COMPLETE_PLATE = Stage(
    name="plate",
    version=17,
    about="complete the background",
    reads=(VIDEO, CLIP, TRACKS, LANDMARKS, OTHERS, ROUGH, HUMAN_MASK, BACKGROUND, FIRST_PLATE),
    writes=(PLATE,),
    run=layers.plate,
)
FIND_OCCLUSION = Stage(
    name="occlusion",
    version=27,
    about="find what passes in front",
    reads=(VIDEO, CLIP, HUMAN_MASK, BACKGROUND, PLATE, TRACKS, LANDMARKS, OTHERS, ROUGH),
    writes=(OCCLUSION, PROPS),
    params=layers.OcclusionParams,
    run=layers.occlusion,
)
COMPLETE_SCENE = Stage(
    name="scene",
    version=18,
    about="fill in the scene behind the person",
    reads=(VIDEO, CLIP, TRACKS, LANDMARKS, OTHERS, HUMAN_MASK, PROPS, BACKGROUND, PLATE),
    writes=(SCENE,),
    params=layers.SceneParams,
    weights=layers.network_weights,
    run=layers.scene,
)
ESTIMATE_DEPTH = Stage(
    name="depth",
    version=2,
    about="order the layers in depth",
    reads=(VIDEO, CLIP, HUMAN_MASK, OCCLUSION, TRACKS, LANDMARKS),
    writes=(DEPTH,),
    params=layers.DepthParams,
    weights=layers.depth_weights,
    run=layers.depth,
)
MEASURE_LIGHT = Stage(
    name="light",
    version=2,
    about="measure the light of the scene",
    reads=(VIDEO, CLIP, HUMAN_MASK),
    writes=(SCENE_LIGHT,),
    run=light.light,
)
MEASURE_SHUTTER = Stage(
    name="shutter",
    version=1,
    about="measure how the video smears what moves",
    reads=(VIDEO, CLIP, FRAMES, HUMAN_MASK, BODY, CAMERA),
    writes=(SHUTTER,),
    run=light.shutter,
)
FIT = Stage(
    name="fit",
    version=9,
    about="fit a body to the person",
    reads=(VIDEO, CLIP, FRAMES, TRACKS, LANDMARKS, ROUGH, BACKGROUND),
    writes=(BODY, SHAPE, CAMERA),
    params=motion.FitParams,
    weights=motion.fit_weights,
    run=motion.fit,
)
FIT_PEOPLE = Stage(
    name="fit-people",
    version=8,
    about="fit a body to everybody",
    reads=(VIDEO, CLIP, FRAMES, TRACKS, LANDMARKS, ROUGH, OTHERS, BACKGROUND),
    writes=(PEOPLE,),
    params=motion.FitParams,
    weights=motion.fit_weights,
    run=motion.fit_people,
)
IMPORT = Stage(
    name="import",
    version=3,
    about="read the motion",
    reads=(MOTION,),
    optional=(MAPPING, BACKDROP),
    writes=(CLIP, FRAMES, BODY, SHAPE),
    params=motion.ImportParams,
    run=motion.import_motion,
)
PREVIEW_MOTION = Stage(
    name="preview",
    version=1,
    about="lay the body over the clip",
    reads=(VIDEO, CLIP, FRAMES, BODY, SHAPE, CAMERA),
    writes=(PREVIEW,),
    run=preview.preview,
)
DRAW_SURFACE = Stage(
    name="surface",
    version=1,
    about="draw the body for the network",
    reads=(CLIP, FRAMES, TRACKS, HUMAN_MASK, BODY, SHAPE, CAMERA),
    writes=(SURFACE,),
    run=conditions.surface,
)
DRAW_SURFACE_ALONE = Stage(
    name="surface",
    version=1,
    about="draw the body for the network",
    reads=(CLIP, FRAMES, BODY, SHAPE),
    optional=(CAMERA,),
    writes=(SURFACE,),
    run=conditions.surface_alone,
)
DRAW_SDC = Stage(
    name="sdc",
    version=1,
    about="draw the body for the published network",
    reads=(CLIP, FRAMES, TRACKS, HUMAN_MASK, BODY, SHAPE, CAMERA),
    writes=(SDC,),
    params=conditions.SdcParams,
    weights=("smpl", "sdc-colors"),
    run=conditions.sdc,
)
DRAW_SDC_ALONE = Stage(
    name="sdc",
    version=1,
    about="draw the body for the published network",
    reads=(CLIP, FRAMES, BODY, SHAPE),
    optional=(CAMERA,),
    writes=(SDC,),
    params=conditions.SdcParams,
    weights=("smpl", "sdc-colors"),
    run=conditions.sdc_alone,
)
CUT_OUT = Stage(
    name="cutout",
    version=1,
    about="cut out the character",
    reads=(REFERENCE,),
    optional=(MASK,),
    writes=(CUTOUT,),
    run=identity.cutout,
)
FIND_JOINTS = Stage(
    name="joints",
    version=4,
    about="find its joints",
    reads=(CUTOUT,),
    writes=(JOINTS,),
    run=identity.joints,
)
LIFT = Stage(
    name="lift",
    version=14,
    about="make a solid figure of it",
    reads=(CUTOUT, JOINTS),
    optional=(REFERENCE, MASK, BACK, PROFILE),
    writes=(PUPPET, CANONICAL),
    run=identity.lift,
)
ANIMATE = Stage(
    name="animate",
    version=8,
    about="animate the character",
    reads=(CLIP, FRAMES, TRACKS, HUMAN_MASK, SCENE_LIGHT, SHUTTER, BODY, CAMERA, PUPPET),
    writes=(HUMAN, SHADOW, LIGHT),
    params=animation.AnimateParams,
    resolve=animation.resolve,
    run=render.animate,
)
ANIMATE_ALONE = Stage(
    name="animate",
    version=8,
    about="animate the character",
    reads=(CLIP, FRAMES, BODY, PUPPET),
    optional=(CAMERA,),
    writes=(HUMAN, SHADOW),
    params=animation.AnimateParams,
    resolve=animation.resolve,
    run=render.animate_alone,
)
DRAW_SKELETON = Stage(
    name="skeleton",
    version=1,
    about="draw the skeleton for the network",
    reads=(CLIP, LANDMARKS),
    writes=(SKELETON,),
    run=diffuse.draw_skeleton,
)
DIFFUSE = Stage(
    name="animate",
    version=2,
    about="generate the character",
    reads=(VIDEO, CLIP, FRAMES, HUMAN_MASK, SCENE_LIGHT, SCENE, OCCLUSION, CUTOUT, CANONICAL, PUPPET),
    writes=(HUMAN, SHADOW, LIGHT),
    params=animation.AnimateParams,
    resolve=animation.resolve,
    weights=animation.weights_of,
    run=diffuse.diffuse,
)
"""Takes the place of ANIMATE; reads what shows the motion besides."""
DIFFUSE_ALONE = Stage(
    name="animate",
    version=1,
    about="generate the character",
    reads=(CLIP, FRAMES, CUTOUT, CANONICAL),
    optional=(BACKDROP,),
    writes=(HUMAN, SHADOW),
    params=animation.AnimateParams,
    resolve=animation.resolve,
    weights=animation.weights_of,
    run=diffuse.diffuse_alone,
)
COMPOSE = Stage(
    name="compose",
    version=6,
    about="put everything together",
    credits=True,
    reads=(VIDEO, CLIP, FRAMES, SCENE, OCCLUSION, HUMAN, SHADOW, LIGHT),
    writes=(OUT, LOOK),
    params=render.ComposeParams,
    run=render.compose,
)
COMPOSE_LOSSLESS = Stage(
    name="compose-lossless",
    version=6,
    about="put everything together, without loss",
    credits=True,
    reads=(VIDEO, CLIP, FRAMES, SCENE, OCCLUSION, HUMAN, SHADOW, LIGHT),
    writes=(OUT_LOSSLESS, LOOK_LOSSLESS),
    params=render.MarkParams,
    run=render.compose_lossless,
)
COMPOSE_ALONE = Stage(
    name="compose",
    version=4,
    about="put everything together",
    credits=True,
    reads=(CLIP, FRAMES, HUMAN, SHADOW),
    optional=(BACKDROP,),
    writes=(OUT, LOOK),
    params=render.ComposeAloneParams,
    run=render.compose_alone,
)
COMPOSE_ALONE_LOSSLESS = Stage(
    name="compose-lossless",
    version=4,
    about="put everything together, without loss",
    credits=True,
    reads=(CLIP, FRAMES, HUMAN, SHADOW),
    optional=(BACKDROP,),
    writes=(OUT_LOSSLESS, LOOK_LOSSLESS),
    params=render.BackdropParams,
    run=render.compose_alone_lossless,
)
EXPORT_ALPHA = Stage(
    name="export-alpha",
    version=2,
    about="write the character alone",
    credits=True,
    reads=(CLIP, FRAMES, HUMAN),
    optional=(VIDEO, BACKDROP),
    writes=(OUT_ALPHA,),
    params=render.AlphaParams,
    run=render.export_alpha,
)

_IDENTITY = (CUT_OUT, FIND_JOINTS, LIFT)
VIDEO_STAGES = (
    *(INGEST, *_IDENTITY, FIND_PEOPLE, TRACK_BACKGROUND, FIT, GATHER, SEGMENT, COMPLETE_PLATE),
    *(FIND_OCCLUSION, COMPLETE_SCENE, MEASURE_LIGHT, MEASURE_SHUTTER),
    *(ESTIMATE_DEPTH, FIT_PEOPLE, PREVIEW_MOTION, DRAW_SURFACE, DRAW_SDC),
    *(ANIMATE, COMPOSE, COMPOSE_LOSSLESS, EXPORT_ALPHA),
)
"""The identity comes early: a picture that is no character is refused before the long work."""
MOTION_STAGES = (
    *(*_IDENTITY, IMPORT, DRAW_SURFACE_ALONE, DRAW_SDC_ALONE),
    *(ANIMATE_ALONE, COMPOSE_ALONE, COMPOSE_ALONE_LOSSLESS, EXPORT_ALPHA),
)
STAGES = VIDEO_STAGES
"""What a project walks before it has a source."""


def stages_of(settings: Mapping[str, Any]) -> tuple[Stage, ...]:
    """Return the stages of a project from the tables of its project.toml: a video's, or a motion file's; with the
    puppet, or with the network and what it reads."""
    source, animate = settings.get("source", {}), settings.get("animate", {})
    stages = MOTION_STAGES if "motion" in source and "video" not in source else VIDEO_STAGES
    if isinstance(animate, Mapping) and animate.get("animator") == "diffusion":
        return _with_network(stages, animation.pose_of(animate))
    return stages


def _with_network(stages: tuple[Stage, ...], pose: str) -> tuple[Stage, ...]:
    shows = (diffuse.POSES[pose],) if pose in diffuse.POSES else ()
    surface = pose == "surface"
    diffused = {
        ANIMATE: replace(DIFFUSE, reads=(*DIFFUSE.reads, *shows, *((BODY, SHAPE, CAMERA) if surface else ()))),
        ANIMATE_ALONE: replace(
            DIFFUSE_ALONE,
            reads=(*DIFFUSE_ALONE.reads, *shows, *((BODY, SHAPE) if surface else ())),
            optional=(*DIFFUSE_ALONE.optional, *((CAMERA,) if surface else ())),
        ),
    }
    skeleton = (DRAW_SKELETON,) if pose == "skeleton" and ANIMATE in stages else ()
    return (*skeleton, *(diffused.get(stage, stage) for stage in stages))
