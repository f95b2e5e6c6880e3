"""`mimo report`: the page of a swapped project, read as a file and clicked through in a browser."""

import base64
import json
import re
import shutil

import cv2
import numpy as np
import pytest
from browser import browsing
from filmed import CAT, SPEC, mimo

from engine.report import read_look
from engine.video import open_clip, open_layer


@pytest.fixture(scope="module")
def reported(swapped, tmp_path_factory):
    """A copy of the swapped project with its report."""
    folder = tmp_path_factory.mktemp("reported")
    shutil.copytree(swapped[0] / "game.mimo", folder / "game.mimo")
    shutil.copy(swapped[0] / "game.mp4", folder / "game.mp4")
    stdout, _ = mimo("report", "game.mimo", "--character", "cat", cwd=folder)
    assert stdout.strip().endswith("report.html")
    return folder / "game.mimo" / "report.html"


@pytest.fixture(scope="module")
def said(reported):
    """What the page knows."""
    return data_of(reported)


def data_of(page):
    return json.loads(re.search(r'id="data">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)[1])


def decode(text):
    return cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_UNCHANGED)


def test_swap_wrote_it_already(swapped):
    assert (swapped[0] / "game.mimo" / "report.html").is_file()


def test_it_is_one_file_that_loads_nothing(reported):
    text = reported.read_text(encoding="utf-8")
    assert len(text) < 8_000_000
    assert "default-src 'none'" in text
    outside = re.sub(r'id="data">.*?</script>', "", text, flags=re.DOTALL)
    assert not re.search(r'(?:src|href)="(?!data:)|url\(|@import|fetch\(|XMLHttp', outside)
    assert "{{" not in outside


def test_pictures_show_what_the_files_hold(reported, said, swapped):
    project, truth = reported.parent, swapped[1]
    assert set(said["lanes"]) == {"source", "human", "scene", "front", "result"}
    assert said["frames"] == list(range(SPEC.num_frames))  # short enough for all
    result = list(open_clip(project / "out/cat.mp4").read())
    for idx in (0, 7):
        source = decode(said["lanes"]["source"]["pictures"][idx])[..., ::-1]
        assert np.abs(source.astype(int) - truth.frame(idx).rgb).mean() < 6  # H.264, then JPEG
        whole, (x, y, width, height) = source.copy(), said["lanes"]["result"]["boxes"][idx]
        whole[y : y + height, x : x + width] = decode(said["lanes"]["result"]["pictures"][idx])[..., ::-1]
        assert np.abs(whole.astype(int) - result[idx]).mean() < 6
        mask, (x, y, width, height) = np.zeros(SPEC.size, np.uint8), said["lanes"]["human"]["boxes"][idx]
        mask[y : y + height, x : x + width] = decode(said["lanes"]["human"]["pictures"][idx])[..., -1]
        want = next(iter(open_layer(project / "layers/human.mask.mkv", kind="gray8").read(idx, idx + 1)))
        assert np.abs(mask.astype(int) - want).max() <= 16  # masks keep 16 levels


def test_measures_are_those_of_the_lossless_result(swapped, reported, said):
    """Counted here from the files themselves, against what was gathered while they were made."""
    project, clip = reported.parent, open_clip(swapped[0] / "game.mp4")
    look = read_look(project / "render/cat/look.npz")
    mimo("swap", "--project", "game.mimo", "--character", "cat", "--lossless", cwd=reported.parent.parent)
    result = open_layer(project / "out/cat.lossless.mkv", kind=clip.info.pix_fmt)
    changed = []
    for frame, planes in zip(clip.read_frames(), result.read(), strict=True):
        differs = planes[0] != frame.planes[0]
        for before, after in zip(frame.planes[1:], planes[1:]):
            differs |= (before != after).repeat(2, 0).repeat(2, 1)
        changed.append(differs.mean())
    np.testing.assert_allclose(look.series["changed"], changed, atol=1e-6)  # float32
    assert not look.series["outside"].any()
    masks = open_layer(project / "layers/human.mask.mkv", kind="gray8").read()
    area = [100 * float(mask.mean()) / 255 for mask in masks]
    plots = {plot["title"]: plot["values"] for plot in said["plots"]}
    np.testing.assert_allclose(plots["Mask area"], area, atol=1e-3)  # written with three digits
    assert {"Mask area", "Confidence", "Changed outside the edit", "Flicker", "Foot slide", "Drift"} <= plots.keys()


def test_it_says_what_ran_and_with_what_licence(said, reported):
    stages = {row["stage"]: row for row in said["stages"]}
    assert {"ingest", "segment", "fit", "animate@cat", "compose@cat"} <= stages.keys()
    assert all(row["state"] == "fresh" and row["took"] for row in stages.values())
    licences = {row["part"]: row["licence"] for row in said["licences"]}
    assert licences["mimo"] == "Apache-2.0"
    record = json.loads((reported.parent / "stages/segment.json").read_text(encoding="utf-8"))
    assert record["licences"].items() <= licences.items()


def test_a_project_that_is_only_taken_apart_is_shown_too(swapped, tmp_path):
    shutil.copytree(swapped[0] / "game.mimo", tmp_path / "game.mimo")
    shutil.copy(swapped[0] / "game.mp4", tmp_path / "game.mp4")
    project = tmp_path / "game.mimo"
    for folder in ("identity", "render", "out"):
        shutil.rmtree(project / folder)
    for record in project.glob("stages/*@*.json"):
        record.unlink()
    mimo("report", "game.mimo", cwd=tmp_path)
    said = data_of(project / "report.html")
    assert {"source", "human", "scene", "front"} <= set(said["lanes"]) and "result" not in said["lanes"]
    assert said["frames"] == list(range(SPEC.num_frames)) and said["stills"] == []
    mimo("encode-id", CAT, "--project", "game.mimo", cwd=tmp_path)  # writes the report, too
    ((title, file, _),) = data_of(project / "report.html")["stills"]
    assert (title, file) == ("Canonical identity", "identity/cat/canonical.png")


def test_a_persons_report_stays(swapped, tmp_path):
    shutil.copytree(swapped[0] / "game.mimo", tmp_path / "game.mimo")
    shutil.copy(swapped[0] / "game.mp4", tmp_path / "game.mp4")
    (tmp_path / "game.mimo/report.html").write_text("my own notes", encoding="utf-8")
    _, stderr = mimo("swap", "--project", "game.mimo", "--character", "cat", cwd=tmp_path)
    assert "no report was written" in stderr
    assert (tmp_path / "game.mimo/report.html").read_text(encoding="utf-8") == "my own notes"


def shown(driver):
    """The frame whose pictures are on the canvases, once they are."""
    wait_until(driver, lambda: driver.execute_script("return document.body.dataset.shown") is not None)
    return int(driver.execute_script("return document.body.dataset.shown"))


def wait_for(driver, frame):
    wait_until(driver, lambda: shown(driver) == frame)


def wait_until(driver, true):
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(driver, 30, poll_frequency=0.05).until(lambda _: true())  # a busy machine draws slowly


def pixels(driver, selector):
    """The colours of a canvas, (H, W, 4)."""
    size, values = driver.execute_script(
        f"const c = document.querySelector('{selector}');"
        "return [[c.height, c.width], Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)]"
    )
    return np.array(values, np.uint8).reshape(*size, 4)


def test_clicks(reported, said):
    from importlib import import_module

    with browsing(reported) as driver:
        by = import_module("selenium.webdriver.common.by").By
        chains = import_module("selenium.webdriver.common.action_chains").ActionChains
        assert shown(driver) == 0
        errors = [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
        assert errors == []
        requests = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
        urls = [e["params"]["request"]["url"] for e in requests if e["method"] == "Network.requestWillBeSent"]
        assert all(url.startswith(("file:", "data:")) for url in urls) and urls

        # a click into any plot goes to that frame, everywhere
        before = pixels(driver, "#lane-source canvas")
        plots, values = (driver.find_elements(by.CSS_SELECTOR, f".plot {part}") for part in ("svg", ".value"))
        assert [plot.get_attribute("aria-label") for plot in plots] == [plot["title"] for plot in said["plots"]]
        for number, (plot, value, data) in enumerate(zip(plots, values, said["plots"], strict=True)):
            driver.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", plot)
            aside = number - len(plots) // 2  # frames from the middle of the plot
            step = plot.size["width"] / (SPEC.num_frames - 1)
            chains(driver).move_to_element_with_offset(plot, round(aside * step), 0).click().perform()
            frame = int(driver.find_element(by.ID, "range").get_attribute("value"))
            assert abs(frame - (SPEC.num_frames - 1) / 2 - aside) <= 1  # half a frame of rounding, half of an odd pixel
            assert value.text == f"{data['values'][frame]:.{data['digits']}f}{data['unit']}"
        wait_for(driver, frame)
        assert (pixels(driver, "#lane-source canvas") != before).any()

        # the wipe: left of the line the source, right of it the result
        box = driver.find_element(by.ID, "wipe")
        driver.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", box)
        source, result = pixels(driver, "#lane-source canvas"), pixels(driver, "#lane-result canvas")
        assert (source != result).any()
        chains(driver).move_to_element_with_offset(box, -box.size["width"] // 2 + 3, 0).click().perform()
        assert np.abs(pixels(driver, "#wipe-canvas").astype(int) - result)[:, 10:].max() == 0
        chains(driver).move_to_element_with_offset(box, -box.size["width"] // 2 + 3, 0).click_and_hold().move_by_offset(
            box.size["width"] - 6, 0
        ).release().perform()
        assert np.abs(pixels(driver, "#wipe-canvas").astype(int) - source)[:, :-10].max() == 0


def test_keys(reported):
    from importlib import import_module

    with browsing(reported) as driver:
        keys = import_module("selenium.webdriver.common.keys").Keys
        by = import_module("selenium.webdriver.common.by").By
        shown(driver)
        body = driver.find_element(by.TAG_NAME, "body")
        body.send_keys(keys.ARROW_RIGHT)
        wait_for(driver, 1)
        body.send_keys(keys.END)
        wait_for(driver, SPEC.num_frames - 1)
        body.send_keys(keys.HOME)
        wait_for(driver, 0)
        line = driver.find_element(by.ID, "wipe-line")
        line.send_keys(keys.ARROW_RIGHT)
        assert line.get_attribute("aria-valuenow") == "52"
        assert shown(driver) == 0  # the line moved, not the frame
        play = driver.find_element(by.ID, "play")
        body.send_keys(" ")
        assert play.get_attribute("aria-label") == "Pause"
        wait_until(driver, lambda: shown(driver) > 0)
        body.send_keys(" ")
        assert play.get_attribute("aria-label") == "Play"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_both_schemes_can_be_read(reported, dark):
    """Contrast of text on its ground, by WCAG 2.1: 4.5 for what is read."""
    with browsing(reported, dark=dark, size=(420, 800)) as driver:
        shown(driver)
        colors = driver.execute_script(
            "const s = getComputedStyle(document.documentElement);"
            "return ['--ink', '--dim', '--accent', '--ground', '--panel'].map((n) => s.getPropertyValue(n).trim())"
        )
        ink, dim, accent, ground, panel = map(luminance, colors)
        assert (ground < 0.1) == dark
        for text in (ink, dim, accent):
            for behind in (ground, panel):
                assert (max(text, behind) + 0.05) / (min(text, behind) + 0.05) >= 4.5
        assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")  # fits a telephone


def luminance(color):
    """Relative luminance of "#rrggbb", by WCAG 2.1."""
    levels = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])
