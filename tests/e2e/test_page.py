"""The page of a run in a real browser: figures move, groups are scaled, faults and outages are seen, by two at once."""

import re
import runpy
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import yaml
from paho.mqtt.publish import single

from devices.faults.labels import Label
from devices.fleet.metrics import FleetSnapshot
from edgefleet.embedded import ManagedProcess, edgefleet_process, free_port
from edgefleet.launch.shard import ShardResult
from edgefleet.report.html.run_page import run_page
from edgefleet.report.status_series import series_state
from edgewire.run_record import DeviceRecord
from tests.e2e.accessibility import grave_violations, load_axe
from tests.edgefleet.control.test_recorded_run import leave_run
from tests.edgefleet.report.series import bridge_of, status_at
from tests.processes import not_outliving
from tests.run_records import run_record
from tests.services.fixtures import require_package, require_program

pytestmark = [pytest.mark.browser, pytest.mark.e2e, pytest.mark.services]

DEVICES = [{"kind": "bme280", "count": 20, "interval": "1s"}, {"kind": "gps", "count": 5, "interval": "1s"}]


@contextmanager
def running(folder: Path) -> Iterator[tuple[str, ManagedProcess]]:
    """A run with its page, and a bridge and an ingest behind it; yields the page's URL, and the ingest."""
    port, admin_port, ingest_port = free_port(), free_port(), free_port()
    scenario = {"seed": 3, "devices": DEVICES, "reconnect": {"base": "200ms", "cap": "1s"}}
    (folder / "run.yaml").write_text(yaml.safe_dump(scenario))
    command = [sys.executable, "-m", "edgefleet", "run", "run.yaml", "--broker", "embedded", "--duration", "300s"]
    url, admin, store = (f"http://127.0.0.1:{one}/" for one in (port, admin_port, ingest_port))
    # In the morning, when vehicles are under way.
    options = ["--web", str(port), "--bridge", admin, "--ingest", store, "--from", "2026-03-02T08:10:00Z"]
    with (
        subprocess.Popen([*command, *options], cwd=folder, stderr=subprocess.DEVNULL) as run,
        not_outliving(run),
        edgefleet_process(
            "ingest", "ingest", "--port", str(ingest_port), "--store", f"sqlite:///{folder / 'ingest.db'}", url=store
        ) as ingest,
    ):
        deadline = time.monotonic() + 60
        while True:
            try:
                status = requests.get(f"{url}v1/status", timeout=10).json()
                if status["connected"] == 25:
                    break
            except requests.RequestException:
                pass
            assert time.monotonic() < deadline
            time.sleep(0.1)
        config = {
            "broker": status["brokers"][0],
            "spool": {"path": str(folder / "spool.db")},
            "http": {"url": store.rstrip("/"), "retry": {"base": "100ms", "cap": "1s"}},
            "admin": {"port": admin_port},
        }
        (folder / "bridge.yaml").write_text(yaml.safe_dump(config))
        with edgefleet_process("bridge", "bridge", "run", folder / "bridge.yaml", url=f"{admin}healthz"):
            yield url, ingest


class Browser:
    """A headless Chromium at the page."""

    def __init__(self, url: str, width: int = 1440) -> None:
        require_program("chromium", "chromium")
        require_program("chromedriver", "chromium-driver")
        webdriver: Any = require_package("selenium.webdriver")
        options = webdriver.ChromeOptions()
        for one in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", f"window-size={width},900"):
            options.add_argument(f"--{one}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = webdriver.ChromeService(shutil.which("chromedriver"))
        self.driver = webdriver.Chrome(options=options, service=service)
        self.driver.get(url)

    def text(self, selector: str) -> str:
        return str(
            self.driver.execute_script("return document.querySelector(arguments[0])?.textContent ?? ''", selector)
        )

    def number(self, selector: str) -> float:
        found = re.search(r"[\d,.]+", self.text(selector))
        return float(found[0].replace(",", "")) if found else float("nan")

    def click(self, selector: str) -> None:
        """Press a button as somebody without a mouse does."""
        self.driver.find_element("css selector", selector).send_keys("\n")

    def write(self, selector: str, text: str) -> None:
        field = self.driver.find_element("css selector", selector)
        field.clear()
        field.send_keys(text)

    def is_red(self, node: str) -> bool:
        return "bad" in str(self.driver.find_element("id", node).get_attribute("class"))

    def complaints(self) -> list[str]:
        """Return what the browser has to say of the page: a script that failed, a policy that was broken."""
        said = [str(one["message"]) for one in self.driver.get_log("browser") if one["level"] == "SEVERE"]
        return [one for one in said if "favicon" not in one]


@contextmanager
def browsing(url: str, **options: Any) -> Iterator[Browser]:
    browser = Browser(url, **options)
    try:
        yield browser
    finally:
        browser.driver.quit()


def webdriver_key(name: str) -> str:
    return str(getattr(require_package("selenium.webdriver.common.keys").Keys, name))


def until(is_so: Callable[[], bool], what: str, limit_s: float = 30) -> None:
    deadline = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def publish(url: str, topic: str, payload: bytes) -> None:
    """Send a message to the broker of a run, as none of its devices would."""
    broker = urlsplit(requests.get(f"{url}v1/status", timeout=10).json()["brokers"][0])
    single(topic, payload, qos=1, hostname=broker.hostname or "", port=broker.port or 0)


@pytest.mark.timeout(300)
def test_a_run_is_watched_and_changed_by_two(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    with running(tmp_path) as (url, ingest), browsing(url) as one, browsing(url, width=390) as other:
        until(lambda: one.text("#link") == "live" and one.number("#node-devices strong") == 25, "no figures came")
        before = one.number("#losses dd")
        until(lambda: one.number("#losses dd") > before + 20, "the figures stand still")

        one.write('tr[data-group="bme280"] input[aria-label^="The number"]', "40")
        one.click('tr[data-group="bme280"] button[aria-label^="Set the number"]')
        until(lambda: "scaled from 20 to 40" in one.text("#said"), "nothing was said of the scaling")
        for browser in (one, other):
            until(lambda browser=browser: browser.number("#node-devices strong") == 45, "another number of devices")
            until(lambda browser=browser: "scaled from 20 to 40" in browser.text("#log-lines"), "it is in no log")

        one.write("#fault-device", "bme280-0001")
        one.write("#fault-what", '{"type":"bias","field":"temperature_c","offset":55}')
        one.click("#fault button")
        until(lambda: "End fault 2" in one.text("#faults"), "the fault is not shown")
        one.write("#search-text", "bme280-0001")
        one.click("#search button")
        until(lambda: one.text("#found") == "1 found", "the device was not found")
        one.click('[data-device="bme280-0001"]')
        until(lambda: "bias" in one.text("#device-facts"), "the fault is not at its device")
        until(lambda: '"temperature_c":7' in one.text("#device-messages"), "no message shows it")
        label = one.driver.find_element("id", "chart-device")
        until(lambda: "in the world" in str(label.get_attribute("aria-label")), "no truth is beside the readings")
        one.write("#command-name", "identify")
        one.click("#command button")
        until(lambda: '"ok":true' in one.text("#device-commands"), "the answer to a command is not shown")
        one.click("#faults button")
        until(lambda: "End fault" not in one.text("#faults"), "the fault was not ended")

        for scale in ("2", "1"):
            one.write("#time-scale-value", scale)
            one.click("#time-scale-go")
            until(lambda scale=scale: f"time × {scale}" in other.text("#node-world .note"), "time keeps its scale")
        one.click('[data-device-act="mute"]')
        until(lambda: "1 device muted" in one.text("#said"), "one device is not muted")
        one.click('[data-device-act="unmute"]')
        until(lambda: "1 device unmuted" in one.text("#said"), "one device is not unmuted")
        one.driver.execute_script("document.querySelector('tr[data-group=bme280] input[type=checkbox]').click()")
        until(lambda: bool(one.text('tr[data-group="bme280"] [data-action="standby"]')), "the group does not stand by")
        one.click('tr[data-group="bme280"] [data-action="standby"]')
        until(lambda: "40 devices left to real sensors" in other.text("#log-lines"), "none has left its place")
        one.click('tr[data-group="bme280"] [data-action="return"]')
        until(lambda: "40 devices returned" in one.text("#said"), "they do not return")
        one.click('[data-device-act="takeover"]')
        until(lambda: "takeover at 1 device" in one.text("#said"), "its client id is not taken")
        until(lambda: "End fault" in one.text("#faults"), "the takeover cannot be ended")
        one.click("#faults button")
        until(lambda: one.number('tr[data-group="bme280"] .connected') == 40, "not all have come back")

        one.click("#map-all")
        until(lambda: one.number('[data-site="default"] .number:nth-child(3)') == 45, "the map shows no devices", 60)
        one.click('[data-site="default"] button')
        canvas = one.driver.find_element("id", "map-canvas")
        until(lambda: float(canvas.get_attribute("data-frames") or 0) > 5, "the map is not drawn")
        until(lambda: float(one.number('[data-site="default"] .number:nth-child(4)')) > 0, "no vehicle moves")
        canvas.click()  # in the middle is what has no place of its own
        until(lambda: one.text("#device-title").startswith("bme280-"), "a click on the map shows no device")
        assert "°C" in one.text("#site-rows")

        one.driver.execute_script("document.getElementById('outage-length').value = '2s'")
        one.click("#outage-go")
        for browser in (one, other):
            until(lambda browser=browser: browser.is_red("node-broker"), "the broker is not red")
            assert "The broker is away" in browser.text("#why")
        until(lambda: one.driver.execute_script("return !document.querySelector('.flow .bad')"), "it stays red", 60)
        until(lambda: one.number("#node-outbox strong") == 0, "the outboxes do not empty")
        assert "lost so far, at least0" in one.text("#losses").replace("\n", "")

        until(lambda: other.number("#node-store strong") > 20, "nothing is stored")
        ingest.terminate()
        until(lambda: other.is_red("node-sink-http") and other.is_red("node-store"), "the sink is not red")
        until(lambda: "messages wait in the spool" in other.text("#why"), "nobody says why it is red")
        ingest.start()
        until(lambda: one.driver.execute_script("return !document.querySelector('.flow .bad')"), "it stays red", 60)

        # What the ingest refuses becomes a dead letter: tried again it is refused again, and then it is dropped.
        one.click("#bridge-pause")
        until(lambda: "An operator has paused http" in one.text("#why"), "the pause of the bridge is not shown")
        one.click("#bridge-resume")
        publish(url, "edge/default/bme280/bme280-0001/telemetry", b"{}")
        until(lambda: one.number("#letter-rows th") == 1, "no dead letter is shown")
        one.driver.execute_script("window.confirm = () => true")
        one.driver.execute_script("document.querySelector('#letter-rows input').click()")
        one.click("#letters-replay")
        until(lambda: "1 dead letters are tried again" in one.text("#said"), "nothing was said of the replay")
        until(lambda: one.number("#letter-rows th") == 2, "it was not tried again")
        one.click("#letters-drop-all")
        until(lambda: other.text("#letters-said") == "none" and not other.text("#letter-rows"), "it was not dropped")

        one.click("#zoom-in")
        assert not one.text("#shown").endswith("live")
        frozen = one.text("#shown")
        one.click("#zoom-live")
        assert one.text("#shown") != frozen
        if (axe := load_axe(request.config.cache.mkdir("axe-core"))) is not None:
            one.driver.set_script_timeout(60)
            assert grave_violations(one.driver, axe, "light") == []
            assert grave_violations(one.driver, axe, "dark", "color-contrast") == []

        width = "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        assert other.driver.execute_script(width), "it is wider than a phone"
        one.driver.set_window_size(800, 900)
        assert one.driver.execute_script(width), "it is wider than a tablet"
        assert one.complaints() + other.complaints() == []
        requests.post(f"{url}v1/actions", json={"action": "stop"}, timeout=10)
        until(lambda: "ended" in one.text("#link"), "the end of the run is not seen")


def test_a_page_asks_for_the_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a-token-of-a-run-0123\n")
    (tmp_path / "token").chmod(0o600)
    port = free_port()
    command = [sys.executable, "-m", "edgefleet", "run", "--kind", "bme280", "--count", "3", "--interval", "1s"]
    options = ["--broker", "embedded", "--duration", "60s", "--web", str(port), "--control-token-file", "token"]
    with (
        subprocess.Popen([*command, *options], cwd=tmp_path, stderr=subprocess.DEVNULL) as run,
        not_outliving(run),
    ):
        url = f"http://127.0.0.1:{port}/"

        def is_there() -> bool:
            try:
                return requests.get(url, timeout=10).status_code == 200
            except requests.RequestException:
                return False

        until(is_there, "no page", 60)
        with browsing(url) as browser:
            until(lambda: browser.driver.find_element("id", "token").is_displayed(), "nobody asks for a token")
            assert not browser.driver.find_element("id", "flow").is_displayed()
            browser.write("#token", "another")
            browser.click("#login button")
            until(lambda: browser.driver.find_element("id", "token").is_displayed(), "any token will do")
            browser.write("#token", "a-token-of-a-run-0123")
            browser.click("#login button")
            until(lambda: browser.number("#node-devices strong") == 3, "the right one does not do")
            assert "a-token" not in browser.driver.page_source


def test_runs_that_are_over_are_looked_at(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    folders = [leave_run(tmp_path / "new"), leave_run(tmp_path / "old", is_old=True)]
    command = [sys.executable, "-m", "edgefleet", "web", *map(str, folders), "--web", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as web, not_outliving(web):
        assert web.stdout is not None
        url = re.findall(r"http://\S+", web.stdout.readline())[0]
        with browsing(url, width=390) as page:
            until(lambda: page.text("#link") == "over", "no record is shown")
            until(lambda: page.text("#moment-said").endswith("the end"), "there is no time line")
            assert "nothing changes" in page.text("#read-only")
            assert page.number("#losses dd") == 40
            for changing in ("#stop", "#fault", "#group-rows button", "#search-state", "#letters"):
                assert not page.driver.find_element("css selector", changing).is_displayed(), changing
            page.driver.find_element("id", "moment").send_keys(webdriver_key("ARROW_LEFT"))
            until(lambda: page.number("#losses dd") == 20, "the moment before is not shown")
            page.click('[data-device="gps-0002"]')
            until(lambda: "dropout" in page.text("#device-facts"), "the fault of a device is not told")
            assert "no messages, commands" in page.text("#device-not-recorded")
            page.click("#map-all")
            until(lambda: page.number('[data-site="default"] .number:nth-child(3)') == 4, "the map shows no devices")
            assert "all 10 devices are connected" in page.text("#log-lines")
            width = "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"
            assert page.driver.execute_script(width), "it is wider than a phone"
            if (axe := load_axe(request.config.cache.mkdir("axe-core"))) is not None:
                page.driver.set_script_timeout(60)
                assert grave_violations(page.driver, axe, "light") == []
            assert page.complaints() == []
            page.driver.find_element("css selector", '#run-choice option[value="../2/"]').click()
            until(lambda: "has no status.jsonl" in page.text("#time-why"), "nobody says why there is no time line")
            assert "gps scaled from 2 to 3" in page.text("#log-lines")


def test_a_report_has_the_charts_of_the_page(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    evil = "</script><script>alert(1)</script>"
    device = DeviceRecord(device_id=evil, kind=evil, site="s", boot=1, first_seq=0, last_seq=9, acknowledged=9)
    final = FleetSnapshot(devices=1)
    final.lag.add([2.0, 20.0, 30.0] * 100)
    record = replace(run_record(device), lag_ms=final.lag.to_json())
    label = Label(
        device_id=evil, kind=evil, boot=1, type="dropout", fields=(), parameters={}, layer="transport",
        start_ms=record.sim_started_ms + 1000, end_ms=record.sim_started_ms + 9000, first_seq=1, last_seq=2, messages=2,
    )  # fmt: skip
    times = [record.started_ms + 1000 * second for second in range(40)]
    states = [series_state(status_at(second, at_ms=ms), 1000) for second, ms in enumerate(times)]
    states[20] |= {"broker_is_away": True, "bridge": bridge_of("open", 3.0)}
    path = tmp_path / "report.html"
    path.write_bytes(run_page(ShardResult(record=record, labels=[label], final=final), states))
    with browsing(path.as_uri(), width=390) as page:
        labels = page.driver.execute_script(
            "return [...document.querySelectorAll('.chart[aria-label]')].map((one) => one.ariaLabel)"
        )
        (rate,) = [one for one in labels if one.startswith("Messages a second. ")]
        assert rate == "Messages a second. taken: from 10 to 10, at the end 10. sent: from 10 to 10, at the end 10."
        assert any(one.startswith("Bridge: messages a second") for one in labels)
        assert any(f"{evil}, 1.0 s to 9.0 s" in one for one in labels)
        assert any("300 values; p50 20" in one for one in labels)
        for drawn in ("#chart-rate .line.orange", "#chart-rate .band", "#chart-lag .axis", "rect.violet", "rect.blue"):
            assert page.driver.find_elements("css selector", drawn), drawn
        width = "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        assert page.driver.execute_script(width), "it is wider than a phone"
        if (axe := load_axe(request.config.cache.mkdir("axe-core"))) is not None:
            page.driver.set_script_timeout(60)
            assert grave_violations(page.driver, axe, "light") == []
            assert grave_violations(page.driver, axe, "dark", "color-contrast") == []
        assert page.complaints() == []


def test_the_pictures_of_the_documents_can_be_taken_again(tmp_path: Path) -> None:
    require_program("chromium", "chromium")
    require_program("chromedriver", "chromium-driver")
    require_package("selenium.webdriver")
    script = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "screenshots.py"))
    script["take_pictures"](tmp_path, [script["Picture"](390, "dark")], seconds=2)
    assert (tmp_path / "page-390-dark.png").read_bytes()[:4] == b"\x89PNG"
