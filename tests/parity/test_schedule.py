"""The noise schedules of the releases: tables, timesteps, single steps and chains.

The same scheduler class, another version and another order of float32 operations: tables differ by at most 2.8e-7
relative for a second implementation, chains by 9.7e-7 (the reference's README).
"""

import pytest
import torch
from parity.release import distance

from engine.diffusion.schedule import make_scheduler
from engine.diffusion.windows import context_windows

TABLE, CHAIN = 1e-6, 5e-6


@pytest.mark.parametrize("release, beta_schedule, steps", [
    ("mimo", "scaled_linear", (3, 4, 25)),
    ("moore", "linear", (3, 4, 25, 30)),
])  # fmt: skip
def test_tables_steps_and_chains(request, mimo, release, beta_schedule, steps):
    model = request.getfixturevalue(release)
    assert model.networks.beta_schedule == beta_schedule
    golden, inputs = model.tensors("scheduler"), mimo.tensors("scheduler")
    scheduler = make_scheduler(beta_schedule)
    sample, v = inputs["in.sample"], inputs["in.model_output"]
    assert distance(scheduler.betas, golden["betas"]) < TABLE
    assert distance(scheduler.alphas_cumprod, golden["alphas_cumprod"]) < TABLE
    assert scheduler.alphas_cumprod[-1] == 0
    assert scheduler.final_alpha_cumprod == golden["final_alpha_cumprod"]
    assert scheduler.init_noise_sigma == 1
    for n in steps:
        scheduler.set_timesteps(n)
        chain = sample
        for k, timestep in enumerate(scheduler.timesteps):
            step = scheduler.step(v, timestep, sample)
            assert distance(step.prev_sample, golden[f"step.{n}.prev_sample"][k]) < CHAIN
            if f"step.{n}.pred_original_sample" in golden:
                assert distance(step.pred_original_sample, golden[f"step.{n}.pred_original_sample"][k]) < CHAIN
            chain = scheduler.step(0.5 * chain - 0.25 * torch.roll(v, k), timestep, chain).prev_sample
            assert distance(chain, golden[f"chain.{n}"][k]) < CHAIN


def test_timesteps(mimo):
    table = mimo.table("scheduler")
    scheduler = make_scheduler()
    for n, timesteps in table["timesteps"].items():
        scheduler.set_timesteps(int(n))
        assert scheduler.timesteps.tolist() == timesteps
        assert [max(t - 1000 // int(n), -1) for t in timesteps] == table["prev_timesteps"][n]


def test_windows(mimo):
    table = mimo.table("context_windows")["windows"]
    assert len(table) == 13
    for num_frames, windows in table.items():
        assert context_windows(int(num_frames)) == windows
