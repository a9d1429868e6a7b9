"""`torchrun --nproc-per-node N -m constructions.distributed_momlp MODEL --points P.npy --out Y.npy`.

Exit codes: 0 done, 1 a rank failed or was lost (the output file is absent), 2 usage, 3 an error that nobody foresaw,
130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path

import torch

from constructions.distributed_momlp import ShardedMoMLP, evaluate_file
from constructions.errors import RankFailed, RankLost
from constructions.files import require_writable, write_whole
from constructions.ranks import DEFAULT_TIMEOUT, Ranks


def main() -> int:
    """Evaluate a stored model on a file of points with all the processes that torchrun started."""
    parser = argparse.ArgumentParser(prog="python -m constructions.distributed_momlp", description=main.__doc__)
    parser.add_argument("model", type=Path, help="a stored model (.safetensors)")
    parser.add_argument("--points", type=Path, required=True, help="points (B, n), .npy")
    parser.add_argument("--out", type=Path, required=True, help="where to write the outputs (B, m), .npy")
    parser.add_argument("--batch", type=int, default=1 << 16, help="points a rank at a time")
    parser.add_argument("--timeout", type=float, default=DEFAULT_TIMEOUT, help="seconds to wait for a silent rank")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="cpu")
    parser.add_argument("--report", type=Path, metavar="JSON", help="write what each rank holds and sent")
    args = parser.parse_args()
    # torchrun ends the survivors of a lost rank with SIGTERM: let them clean up their drafts
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    device = ("cuda" if torch.cuda.is_available() else "cpu") if args.device == "auto" else args.device
    try:
        require_writable(args.out, args.model, args.points, args.report)
        if args.report:
            require_writable(args.report, args.model, args.points)
        with Ranks.start(timeout=args.timeout, device=device) as ranks:
            model = ShardedMoMLP.load(args.model, ranks)
            started = time.perf_counter()
            count = evaluate_file(model, args.points, args.out, batch=args.batch, progress=sys.stderr.isatty())
            seconds = time.perf_counter() - started
            reports = ranks.gathered(model.report(), "reporting")
            if ranks.leads:
                if args.report:
                    write_whole(args.report, lambda draft: draft.write_text(json.dumps(reports, indent=2)))
                experts = [r["experts"] for r in reports]
                each = f"{min(experts)} to {max(experts)}" if min(experts) != max(experts) else f"{experts[0]}"
                print(f"{count} points evaluated by {ranks.world} ranks of {each} experts in {seconds:.2f} s")
                print(f"written to {args.out}")
    except (RankLost, RankFailed) as err:
        print(f"momlp: error: {err}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        return 130
    except (ValueError, TypeError, OSError, MemoryError) as err:
        print(f"momlp: error: {err or type(err).__name__}", file=sys.stderr, flush=True)
        return 2
    except Exception as err:
        print(f"momlp: error: unexpected {type(err).__name__}: {err}; please report it", file=sys.stderr, flush=True)
        return 3
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
