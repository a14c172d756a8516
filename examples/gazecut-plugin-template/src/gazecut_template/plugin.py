"""What this package adds to Gazecut. Imports nothing else, so that listings stay fast."""

from gazecut.components import ComponentSpec, Register, hookimpl


@hookimpl
def register_scorer(register: Register) -> None:
    """Declare the scorer."""
    register(
        ComponentSpec(
            name="heat-gain",
            summary="attention above the clip's mean that the masks cover",
            target="gazecut_template.heat_gain:HeatGainScorer",
            config="gazecut_template.config:HeatGainOptions",
        )
    )


@hookimpl
def register_fusion(register: Register) -> None:
    """Declare the fusion strategy."""
    register(
        ComponentSpec(
            name="geometric-mean",
            summary="geometric mean of the video view and the frame view",
            target="gazecut_template.geometric_mean:GeometricMeanFusion",
            config="gazecut_template.config:GeometricMeanOptions",
        )
    )
