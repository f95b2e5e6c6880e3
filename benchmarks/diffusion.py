"""One denoising step with guidance: the formulation of the releases against ours, time and peak memory.

    python benchmarks/diffusion.py [--width full|half|eighth] [--frames 8] [--latents 32] [--steps 2] [--device cpu]
                                   [--dtype float32]

Each runs in a process of its own, with the same random weights. Width "full" is SD 1.5's (the plain one needs 10 GB);
the default is an eighth of it. CPU time is printed too: on a busy machine only that compares.
"""

import argparse
import multiprocessing
import os
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from engine.diffusion import heap
from engine.diffusion.attention import fix_token, round_bank
from engine.diffusion.inference import make_ready
from engine.diffusion.plain import plain_predict_v, use_plain_attention
from engine.diffusion.reference_net import ReferenceNet
from engine.diffusion.sampler import Conditions, predict_v
from engine.diffusion.unet import DenoisingUNet

SIZES = {
    "full": {"block_out_channels": (320, 640, 1280, 1280), "cross_attention_dim": 768},
    "half": {"block_out_channels": (160, 320, 640, 640), "cross_attention_dim": 384},
    "eighth": {"block_out_channels": (32, 96, 160, 160), "cross_attention_dim": 96},
}
TIMESTEP = 479


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", choices=SIZES, default="eighth")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--latents", type=int, default=32)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--only", nargs="+", choices=("plain", "ours", "compiled", "half"), default=["plain", "ours"],
                        help="compiled: ours with MIMO_COMPILE=1; half: ours in bfloat16")  # fmt: skip
    args = parser.parse_args()
    results = {}
    for formulation in args.only:
        parent, child = multiprocessing.get_context("spawn").Pipe()
        process = multiprocessing.get_context("spawn").Process(target=measure, args=(formulation, args, child))
        process.start()
        child.close()
        results[formulation] = parent.recv()
        process.join()
        r, tera_flop = results[formulation], count(formulation, args) / 1e12
        print(
            f"{formulation:6} {r['wall_s']:8.2f} s/step ({r['cpu_s']:.2f} s CPU)   peak {r['peak_gb']:5.2f} GB   "
            f"{tera_flop:.2f} TFLOP a step: {tera_flop / r['wall_s']:.3f} TFLOP/s",
            flush=True,
        )
    for name in list(results)[1:] if "plain" in results else ():
        compare(name, results["plain"], results[name])


def compare(name, plain, ours) -> None:
    apart = np.linalg.norm(ours["v"] - plain["v"]) / np.linalg.norm(plain["v"])
    print(
        f"{name} / plain: time {ours['wall_s'] / plain['wall_s']:.2f} (CPU {ours['cpu_s'] / plain['cpu_s']:.2f}), "
        f"memory {ours['peak_gb'] / plain['peak_gb']:.2f}; outputs {apart:.1e} apart (relative L2)"
    )


@torch.no_grad()
def measure(formulation: str, args: argparse.Namespace, answer) -> None:
    size = SIZES[args.width]
    device, dtype = torch.device(args.device), getattr(torch, "bfloat16" if formulation == "half" else args.dtype)
    noise = torch.Generator().manual_seed(0)
    channels, side = size["block_out_channels"][0], args.latents

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=noise).to(device, dtype)

    tokens, reference_latents = random(1, 1, size["cross_attention_dim"]), random(1, 4, side, side)
    latents, scene = random(1, 4, args.frames, side, side), random(1, 4, args.frames, side, side)
    pose = random(1, channels, args.frames, side, side)

    os.environ["MIMO_COMPILE"] = str(int(formulation == "compiled"))
    if formulation != "plain":
        heap.return_freed()
    reference_net = fill(ReferenceNet, size, device, dtype)
    _, bank = reference_net(reference_latents, tokens)
    if formulation == "plain":
        unet = fill(DenoisingUNet, size, device, dtype)
        use_plain_attention(unet)
        reference, predict = round_bank(bank, dtype), plain_predict_v
    else:
        del reference_net  # has done its work
        unet = fill(DenoisingUNet, size, device, dtype)
        reference, predict = replace(unet.project_reference(round_bank(bank, dtype)), bank={}), predict_v
        tokens = fix_token(unet, tokens)
        make_ready(unet, device)
    conditions = Conditions(reference, tokens, lambda frames: pose[:, :, frames], scene)
    frames = list(range(args.frames))
    if device.type == "cuda":
        for _ in range(2):  # kernels are chosen and compiled in the first runs
            predict(unet, latents, TIMESTEP, conditions, frames, 3.5)
        torch.cuda.reset_peak_memory_stats()
    wall_s, cpu_s = [], []
    for _ in range(args.steps):
        started = time.perf_counter(), time.process_time()
        v = predict(unet, latents, TIMESTEP, conditions, frames, 3.5)
        if device.type == "cuda":
            torch.cuda.synchronize()
        wall_s.append(time.perf_counter() - started[0])
        cpu_s.append(time.process_time() - started[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated()
    answer.send(
        {
            "wall_s": min(wall_s),
            "cpu_s": min(cpu_s),
            "peak_gb": peak / 1e9,
            "v": v.float().cpu().numpy(),
        }
    )


@torch.no_grad()
def count(formulation: str, args: argparse.Namespace) -> int:
    """Count the operations of a step, on networks without weights: what no kernel can do without."""
    size, side = SIZES[args.width], args.latents
    with torch.device("meta"):
        unet, tokens = DenoisingUNet(**size), torch.empty(1, 1, size["cross_attention_dim"])
        _, bank = ReferenceNet(**size)(torch.empty(1, 4, side, side), tokens)
        latents = torch.empty(1, 4, args.frames, side, side)
        pose = torch.empty(1, size["block_out_channels"][0], args.frames, side, side)
        reference, predict = round_bank(bank, torch.float32), plain_predict_v
        if formulation == "plain":
            use_plain_attention(unet)
        else:
            reference, predict = unet.project_reference(reference), predict_v
            tokens = fix_token(unet, tokens)
        conditions = Conditions(reference, tokens, lambda frames: pose[:, :, frames], latents)
        with FlopCounterMode(display=False) as counter:
            predict(unet, latents, TIMESTEP, conditions, list(range(args.frames)), 3.5)
    return counter.get_total_flops()


def fill(network, size, device, dtype):
    """A network with the same random weights every time, made in place."""
    with torch.device("meta"):
        empty = network(**size)
    filled = torch.nn.Module.to(empty, dtype).to_empty(device=device).eval()
    generator = torch.Generator(device).manual_seed(1)
    numbers = torch.randn(1 << 20, device=device, generator=generator)  # drawn once and repeated: fast
    for place, (name, tensor) in enumerate(filled.state_dict().items()):
        if tensor.ndim == 1:
            tensor.fill_(float(name.endswith("weight")))  # norms
            continue
        repeats = -(-tensor.numel() // (len(numbers) - place))
        flat = numbers[place:].repeat(repeats)[: tensor.numel()]  # each tensor begins elsewhere
        tensor.copy_(flat.view_as(tensor) * tensor[0].numel() ** -0.5)
    return filled


if __name__ == "__main__":
    main()
