"""The numbers that Q-Insight's authors printed, to stand beside ours.

Q-Insight: Understanding Image Quality via Visual Reinforcement Learning (arXiv 2503.22679v2). Its text says that
evaluation follows earlier work, whose code (DeQA-Score) computes PLCC after a 4-parameter logistic; the paper's
own evaluation code is not published.
"""

import re
from dataclasses import dataclass

SOURCE = "arXiv 2503.22679v2"
SCORE_SETS = ("KonIQ", "SPAQ", "KADID", "PIPAL", "LIVE-Wild", "AGIQA", "CSIQ")
CLASSES = (
    "noise",
    "blur",
    "compression",
    "darken",
    "null",
)  # the columns of table 2, "JPEG" by the prompt's name

Pair = tuple[float, float | None]


@dataclass(frozen=True)
class PrintedRow:
    """A printed row: its cells by column, and the average as printed."""

    method: str
    cells: dict[str, Pair]
    average: Pair


def _rows(columns: tuple[str, ...], text: str) -> tuple[PrintedRow, ...]:
    found = []
    for line in text.strip().splitlines():
        method, *cells = re.split(r" {2,}| (?=[.1])", line.strip())
        pairs = [_pair(cell) for cell in cells]
        found.append(PrintedRow(method, dict(zip(columns, pairs[:-1], strict=True)), pairs[-1]))
    return tuple(found)


def _pair(cell: str) -> Pair:
    first, second = cell.split("/")
    return float(first), None if second == "-" else float(second)


# PLCC/SRCC, everything trained on KonIQ; the last row is table 3's.
TABLE_1 = _rows(
    SCORE_SETS,
    """
    NIQE  .533/.530 .679/.664 .468/.405 .195/.161 .493/.449 .560/.533 .718/.628 .521/.481
    BRISQUE  .225/.226 .490/.406 .429/.356 .267/.232 .361/.313 .541/.497 .740/.556 .436/.369
    NIMA  .896/.859 .838/.856 .532/.535 .390/.399 .814/.771 .715/.654 .695/.649 .697/.675
    HyperIQA  .917/.906 .791/.788 .506/.468 .410/.403 .772/.749 .702/.640 .752/.717 .693/.667
    DBCNN  .884/.875 .812/.806 .497/.484 .384/.381 .773/.755 .730/.641 .586/.572 .667/.645
    MUSIQ  .924/.929 .868/.863 .575/.556 .431/.431 .789/.830 .722/.630 .771/.710 .726/.707
    CLIP-IQA+  .909/.895 .866/.864 .653/.654 .427/.419 .832/.805 .736/.685 .772/.719 .742/.720
    ManIQA  .849/.834 .768/.758 .499/.465 .457/.452 .849/.832 .723/.636 .623/.627 .681/.658
    C2Score  .923/.910 .867/.860 .500/.453 .354/.342 .786/.772 .777/.671 .735/.705 .706/.673
    Qwen-SFT  .889/.866 .874/.875 .668/.663 .473/.442 .734/.728 .813/.739 .674/.650 .732/.709
    Q-Align  .941/.940 .886/.887 .674/.684 .403/.419 .853/.860 .772/.735 .671/.737 .705/.752
    DeQA-Score  .953/.941 .895/.896 .694/.687 .472/.478 .892/.879 .809/.729 .787/.744 .786/.765
    Q-Insight  .933/.916 .907/.905 .742/.736 .486/.474 .893/.865 .811/.764 .870/.824 .806/.783
    Q-Insight, score only (table 3)  .918/.895 .903/.899 .702/.702 .458/.435 .870/.839 .816/.766 .685/.640 .765/.739
    """,
)

# Class accuracy/level accuracy; the last row is table 4's.
TABLE_2 = _rows(
    CLASSES,
    """
    AgenticIR  .4646/.1858 .8390/.3219 .0135/.0000 .7478/.2611 .9339/- .5998/.1922
    Q-Insight  1.000/.5973 .9756/.4438 1.000/.5541 .9027/.3230 .7603/- .9277/.4796
    Q-Insight, degradation only (table 4)  .9867/.4343 .9268/.3951 .9685/.3108 .8805/.2567 .5702/- .8960/.3492
    """,
)


@dataclass(frozen=True)
class PairRow:
    """A row of table 6, SRIQA-Bench: pair accuracy on regression-based, generation-based and all outputs."""

    method: str
    regression: float
    generation: float
    all: float


TABLE_6 = (
    PairRow("PSNR", 0.8007, 0.4170, 0.3470),
    PairRow("SSIM", 0.8300, 0.4530, 0.3740),
    PairRow("LPIPS", 0.8200, 0.6390, 0.6580),
    PairRow("A-FINE", 0.8330, 0.7890, 0.8240),
    PairRow("DepictQA", 0.7300, 0.6164, 0.6296),
    PairRow("Q-Insight, zero-shot", 0.7867, 0.6864, 0.7551),
    PairRow("Q-Insight, trained", 0.8567, 0.7778, 0.8280),
)

# PLCC and SRCC of the same models on SRIQA-Bench, where printed.
TABLE_6_CORRELATIONS = {
    "DepictQA": (0.3457, 0.3412),
    "Q-Insight, zero-shot": (0.6385, 0.6297),
    "Q-Insight, trained": (0.7627, 0.7614),
}

# Printed averages that are not the mean of their row; all others are, to the last digit but one.
MISPRINTS = (
    "Q-Align's average PLCC in table 1 (.705; its row has the mean .743)",
    "the average class accuracy of the degradation-only run in table 4 (.8960; its row has the mean .8665)",
)

# How many photos are tested on, where it is known; None where the sources disagree or are silent.
TEST_SIZES: dict[str, int | None] = {
    "KonIQ": 2010,  # Q-Align's and DeQA-Score's split
    "SPAQ": 11125,
    "KADID": 10125,
    "PIPAL": None,
    "LIVE-Wild": None,  # 1,162 in the data set, 1,169 in a list used by VisualQuality-R1
    "AGIQA": 2982,
    "CSIQ": 866,
    "SRIQA-Bench": None,
    "DQ-495K": 1000,  # the authors published what they trained on (train_dist.json), not these
}

_OTHER_NAMES = {
    **{
        "koniq10k": "KonIQ",
        "kadid10k": "KADID",
        "agiqa3k": "AGIQA",
        "sriqa": "SRIQA-Bench",
        "dq495": "DQ-495K",
    },
    **dict.fromkeys(("livew", "livec", "liveitw", "livechallenge", "clive"), "LIVE-Wild"),
}


def known_set(name: str) -> str | None:
    """The paper's name of a data set however it is spelt; None for one that the paper does not have."""
    plain = re.sub(r"[^a-z0-9]", "", name.casefold())
    names = {re.sub(r"[^a-z0-9]", "", known.casefold()): known for known in TEST_SIZES}
    return names.get(plain) or _OTHER_NAMES.get(plain)
