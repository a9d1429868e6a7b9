"""What is claimed; the reproductions are in `theory.demo_optimizer.reproductions`, one function a claim.

Of both versions of the paper the abstract was read; sentences that are refuted are refuted as they are written here, at
the sizes named. Nothing here repeats the paper's models of 300M and 1B weights, and no verdict speaks of them.
"""

from __future__ import annotations

from theory.claim import Statement, Status
from theory.sources import DEMO_V1, DEMO_V2, OURS

PAGE = OURS.at("docs/demo_optimizer.md")
NOT_THE_PAPERS = "networks of 6000 to 21000 weights; nothing is said about the paper's of 300M and 1B"
PROTOCOL = "rates tuned on two other seeds until the best is inside of the grid; the same batches for both"

STATEMENTS = {
    "payload": Statement(
        title="A worker sends chunks·min(k,n)·(place + value) bytes a step; exactly the listed readings give 256/3",
        statement=r"\mathrm{dense}/\mathrm{payload}=4096\,b_g/(k(b_i+b_v)),\quad=\tfrac{256}3\iff k(b_i+b_v)=48\,b_g",
        source=DEMO_V2.at("abstract"),
        expected=Status.PROVED,
        hypotheses=("k = 1, 2, …, 64, gradients of 2 or 4 bytes, the usual widths", "sides that are multiples of 64"),
    ),
    "payload_measured": Statement(
        title="The bytes that ranks hand to the collective are those of the formula, and a head of 8",
        statement=r"|\text{message}|=8+\sum\#\mathrm{chunks}\cdot\min(k,n)(b_i+b_v)",
        source=PAGE,
        expected=Status.NOT_REFUTED,
        hypotheses=("a perceptron, a transformer, a convolution with 4-D weights", "gloo, processes of one machine"),
        shares="ranks",
    ),
    "wire": Statement(
        title="DeMo moves 85 times fewer bytes over a worker's link, however many workers there are",
        statement=r"\frac{2(W-1)/W\cdot\mathrm{dense}}{(W-1)\cdot\mathrm{payload}}\ge85\quad\forall W",
        source=DEMO_V2.at("abstract"),
        expected=Status.REFUTED,
        hypotheses=("a ring gathers payloads, a ring reduces gradients", "read as bytes over the link"),
    ),
    "conservation": Statement(
        title="What a worker has not sent is its residual: nothing is lost",
        statement=r"\sum_{s\le t}\beta^{t-s}(\eta_sg_{w,s}-\mathrm{sent}_{w,s})=e_{w,t}",
        source=PAGE,
        expected=Status.PROVED,
        hypotheses=("rational instances, Hadamard's transform and none; the induction in symbols",),
    ),
    "full_topk_is_signsgd": Statement(
        title="With all coefficients sent, DeMo is sign descent on the sum of gradients, without momentum",
        statement=r"k\ge n\Rightarrow e_w=0,\ p\leftarrow p-\eta\,\mathrm{sign}\textstyle\sum_wg_w\quad\forall\beta",
        source=PAGE,
        expected=Status.PROVED,
        hypotheses=("integer gradients, Hadamard's transform and none, the listed β and W",),
    ),
    "contraction": Statement(
        title="The k largest coefficients leave at most 1 - k/n of the energy, and residuals stay bounded",
        statement=r"\|e\|\le\frac{q\eta G}{1-q\beta},\quad q=\sqrt{1-k/n}",
        source=PAGE,
        expected=Status.PROVED,
        hypotheses=("gradients of norm at most G in the chunk, rates at most η",),
    ),
    "controlled_divergence": Statement(
        title="Residuals of workers differ, and stay within the bound, while a network is trained",
        statement=r"0<\|e_v-e_w\|\le\frac{2q\eta G}{1-q\beta}",
        source=DEMO_V1.at("abstract"),
        expected=Status.NOT_REFUTED,
        hypotheses=("ten noisy classes, four workers", "G measured in every chunk"),
    ),
    "workers_agree": Statement(
        title="Parameters stay bitwise equal on all ranks, and equal to those of simulated workers",
        statement=r"p_v=p_w\ \text{bitwise}",
        source=PAGE,
        expected=Status.NOT_REFUTED,
        hypotheses=("gloo, processes of one machine", "float32 and float64, 50 steps of a perceptron"),
        shares="ranks",
    ),
    "quadratic_convergence": Statement(
        title="On separable quadratics the gradient falls to A η within the stated number of steps, and stays there",
        statement=r"T=n\textstyle\sum_i\max(0,\lceil|p_i-p_i^*|/\eta\rceil-1)",
        source=PAGE,
        expected=Status.PROVED,
        hypotheses=("no transform, exact gradients, constant η; rational instances beside the proof",),
    ),
    "converges_at_any_curvature": Statement(
        title="With error feedback every coordinate is applied sooner or later, at constant η",
        statement=r"\forall i\ \exists t:\ i\in S_t",
        source=PAGE,
        expected=Status.REFUTED,
        hypotheses=("β < 1", "2000 steps, and the invariant that makes them all"),
    ),
    "descent_direction": Statement(
        title="The negative sign of the decoded largest coefficients is a descent direction",
        statement=r"\langle g,\mathrm{sign}(T^\top\mathrm{top}_k(Tg))\rangle>0",
        source=PAGE,
        expected=Status.REFUTED,
        hypotheses=("one worker, no momentum", "cosines in balls, the inner product in integers"),
    ),
    "energy_compaction_digits": Statement(
        title="On digits the cosine transform's 32 largest hold more of the momentum's energy than 32 entries do",
        statement=r"\|\mathrm{top}_{32}(Tm)\|^2>\|\mathrm{top}_{32}(m)\|^2",
        source=DEMO_V1.at("abstract"),
        expected=Status.NOT_REFUTED,
        hypotheses=("both 64×64 layers of a perceptron after 150 steps, paired over seeds", NOT_THE_PAPERS),
    ),
    "energy_compaction_text": Statement(
        title="On text the cosine transform's 32 largest hold more of the momentum's energy than 32 entries do",
        statement=r"\|\mathrm{top}_{32}(Tm)\|^2>\|\mathrm{top}_{32}(m)\|^2",
        source=DEMO_V1.at("abstract"),
        expected=Status.REFUTED,
        hypotheses=("all matrices of a small transformer, chunks of at least 1024, paired over seeds", NOT_THE_PAPERS),
    ),
    "dense_transform": Statement(
        title="At k = 8 training with the cosine transform beats training without any, each at its best rate",
        statement=r"L(\mathrm{DCT})<L(\mathrm{identity})",
        source=PAGE,
        expected=Status.REFUTED,
        hypotheses=("digits", PROTOCOL, NOT_THE_PAPERS),
        slow=True,
        shares="k=8",
    ),
    "compaction_explains_it": Statement(
        title="At k = 8 the cosine transform beats a random rotation, each at its best rate",
        statement=r"L(\mathrm{DCT})<L(\mathrm{random})",
        source=PAGE,
        expected=Status.OPEN,
        hypotheses=("digits", PROTOCOL, NOT_THE_PAPERS),
        slow=True,
        shares="k=8",
    ),
    "trains_momlp": Statement(
        title="Mixtures of MLPs trained data-parallel by DeMo have a test error at most 0.02 above those by AdamW",
        statement=r"\overline{\mathrm{err}(\mathrm{DeMo})-\mathrm{err}(\mathrm{AdamW})}\le0.02",
        source=PAGE,
        expected=Status.NOT_REFUTED,
        hypotheses=(
            "weierstrass on 2 ranks, in full digits and 4 ranks",
            "150 steps, k = 4 of 64",
            "paired over seeds",
        ),
        slow=True,
    ),
    "overhead": Statement(
        title="DeMo keeps P numbers, AdamW 2 P, and its transforms cost 6(h + w) operations a weight and step",
        statement=r"\text{state}=P,\quad\text{flops}=6(h+w)P",
        source=PAGE,
        expected=Status.PROVED,
        hypotheses=("three models; operations counted on the matrix products of a step, one worker",),
    ),
}

COMPARED = {"digits": (Status.NOT_REFUTED, Status.REFUTED), "breast_cancer": (Status.NOT_REFUTED, Status.OPEN)}
COMPARED["text"] = (Status.NOT_REFUTED, Status.REFUTED)
"""What the loss of DeMo with k = 32 is to AdamW's: at most 0.05 more, at most as large."""

for _task, (_comparable, _matches) in COMPARED.items():
    _called = _task.replace("_", " ")
    STATEMENTS[f"comparable_{_task}"] = Statement(
        title=f"On {_called}, DeMo with k = 32 ends within 0.05 nats of AdamW's validation loss",
        statement=r"\overline{L(\mathrm{DeMo})-L(\mathrm{AdamW})}\le0.05",
        source=DEMO_V2.at("abstract"),
        expected=_comparable,
        hypotheses=("paired over seeds, interval at 95 %", PROTOCOL, NOT_THE_PAPERS),
        slow=True,
        shares=_task,
        quick=Status.OPEN if _task == "text" else None,
    )
    STATEMENTS[f"matches_or_exceeds_{_task}"] = Statement(
        title=f"On {_called}, DeMo with k = 32 matches or exceeds AdamW in validation loss",
        statement=r"\overline{L(\mathrm{DeMo})-L(\mathrm{AdamW})}\le0",
        source=DEMO_V1.at("abstract"),
        expected=_matches,
        hypotheses=("paired over seeds, interval at 95 %", PROTOCOL, NOT_THE_PAPERS),
        slow=True,
        shares=_task,
        quick=Status.OPEN if _task == "text" else None,
    )
