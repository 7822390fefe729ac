"""Pages in Chromium: they fit, sort, filter, open logs, and are dark where the system is (extra ``browser``)."""

from __future__ import annotations

import os
import shutil

import pytest

from eqverify.bench.instances import Instance, Row
from eqverify.bench.page import sweep_page
from eqverify.reduction.page import reduction_page

SWITCHES = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
RESULTS = {"b": ("unsat", 9.5), "a": ("timeout", 60.0), "d": ("error", 0.25), "c": ("sat", 10.0), "e": ("unsat", 100.0)}

pytestmark = [pytest.mark.slow, pytest.mark.browser]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Chromium; where `EQVERIFY_BROWSER` is set it must be there."""
    missing = "Chromium, chromedriver and the extra browser are needed (apt install chromium chromium-driver)"
    try:
        from selenium import webdriver
    except ImportError:
        webdriver = None
    if None in (webdriver, CHROMIUM, DRIVER):
        pytest.fail(missing) if os.environ.get("EQVERIFY_BROWSER") else pytest.skip(missing)
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for switch in (*SWITCHES, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(switch)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_page_load_timeout(100)
    yield driver
    driver.quit()


@pytest.fixture
def show(browser, tmp_path):
    """Opens a page in a window of some width, with the colours that the system prefers."""

    def shown(text, width=1200, scheme="light"):
        path = tmp_path / "page.html"
        path.write_text(text, "utf-8")
        window = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", window)
        preferred = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": preferred})
        browser.get(path.as_uri())
        assert browser.get_log("browser") == []
        return browser

    return shown


def sweep():
    """Instances with results of every kind, and names that are too long for a narrow window."""
    instances = [Instance("family", "a-long-folder/" * 6 + "net.onnx", name, 60.0, "") for name in RESULTS]
    rows = {i.key: Row(i.key, 0.0, *RESULTS[i.query]) for i in instances}
    details = {i.key: {"log": f"$ eqverify verify {i.query}\nerror[onnx/empty]: <i>", "layers": []} for i in instances}
    runs = {"run": rows, "another run": rows}
    command = "eqverify bench " + "/a/long/folder/" * 40
    return sweep_page(instances, runs, {}, {"run": details}, command)


def reduction():
    import eqverify as eq

    result = eq.reduce(*eq.example_files(), engine="crown")
    return reduction_page(result, "out.onnx", "eqverify reduce " + "x" * 500, {"read": 0.5, "total": 1.0})


PAGES = {"sweep": sweep, "reduction": reduction}


def column(table, number):
    from selenium.webdriver.common.by import By

    rows = table.find_elements(By.CSS_SELECTOR, "tbody tr")
    return [row.find_elements(By.TAG_NAME, "td")[number].text for row in rows if row.is_displayed()]


def instances_of(driver):
    from selenium.webdriver.common.by import By

    return driver.find_elements(By.CSS_SELECTOR, "table[data-choose]")[0]


@pytest.mark.parametrize("made", PAGES.values(), ids=PAGES)
def test_a_page_fits_a_narrow_window(made, show):
    """Nothing makes the page itself wider than its window; tables scroll inside, and commands wrap."""
    page = made()
    driver = show(page, width=400)
    assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    wide = driver.execute_script(
        "return [...document.querySelectorAll('body > pre, svg')].map(e => e.getBoundingClientRect().right)"
    )
    assert len(wide) > 1
    assert max(wide) <= 400
    scrolled = "return [...document.querySelectorAll('.scroll')].some(e => (e.scrollLeft = 50, e.scrollLeft > 0))"
    assert driver.execute_script(scrolled)


@pytest.mark.parametrize("made", PAGES.values(), ids=PAGES)
def test_a_page_is_dark_where_the_system_is(made, show):
    page = made()
    colours = {scheme: show(page, scheme=scheme).execute_script(BRIGHTNESS) for scheme in ("light", "dark")}
    (back, *marks), (dark_back, *dark_marks) = colours["light"], colours["dark"]
    assert back > 200 > 60 > dark_back
    assert len(marks) == len(dark_marks) > 5
    assert max(marks) < 120 < 140 < min(dark_marks)


BRIGHTNESS = """
const bright = colour => {
  const [red, green, blue] = colour.match(/\\d+/g).map(Number);
  return 0.3 * red + 0.6 * green + 0.1 * blue;
};
const drawn = element => {
  const style = getComputedStyle(element);
  if (!(element instanceof SVGElement)) return style.color;
  return /stroke: (current|var)/i.test(element.getAttribute("style") ?? "") ? style.stroke : style.fill;
};
const marks = document.querySelectorAll("h1, td, svg text, svg [style*='currentcolor' i], svg [style*='--dark']");
const colours = [...marks].map(drawn).filter(colour => colour != "none");
return [getComputedStyle(document.body).backgroundColor, ...colours].map(bright);
"""
"""Of the background, and of texts and lines in black or the dark colour of plots."""


def test_columns_sort_by_number_and_by_name(show):
    from selenium.webdriver.common.by import By

    table = instances_of(show(sweep()))
    headings = {button.text: button for button in table.find_elements(By.CSS_SELECTOR, "th button")}
    assert column(table, 2) == [*RESULTS]
    headings["property"].click()
    assert column(table, 2) == sorted(RESULTS)
    headings["property"].click()
    assert column(table, 2) == sorted(RESULTS, reverse=True)
    headings["seconds"].click()
    assert column(table, 2) == sorted(RESULTS, key=lambda name: RESULTS[name][1])
    assert [th.get_attribute("aria-sort") for th in table.find_elements(By.TAG_NAME, "th")].count("ascending") == 1


def test_verdicts_are_filtered(show):
    from selenium.webdriver.common.by import By

    driver = show(sweep())
    table = instances_of(driver)
    labels = {
        label.text: label for label in driver.find_element(By.TAG_NAME, "fieldset").find_elements(By.TAG_NAME, "label")
    }
    assert [*labels] == ["unsat (2)", "timeout (1)", "error (1)", "sat (1)"]
    labels["unsat (2)"].click()
    assert column(table, 3) == ["timeout", "error", "sat"]
    labels["error (1)"].click()
    labels["unsat (2)"].click()
    assert column(table, 3) == ["unsat", "timeout", "sat", "unsat"]


def test_the_log_of_what_failed_opens(show):
    from selenium.webdriver.common.by import By

    driver = show(sweep(), width=400)
    logs = instances_of(driver).find_elements(By.TAG_NAME, "details")
    assert [log.find_element(By.TAG_NAME, "summary").text for log in logs] == ["timeout", "error"]
    text = logs[1].find_element(By.TAG_NAME, "pre")
    assert not text.is_displayed()
    logs[1].find_element(By.TAG_NAME, "summary").click()
    assert text.is_displayed()
    assert text.text == "$ eqverify verify d\nerror[onnx/empty]: <i>"
