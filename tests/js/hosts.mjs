// Opens the dashboard of a collector in Chromium and checks what an operator
// sees of several hosts, of their clocks and of the bus. Prints "all seen" at
// the end.
//
//   node hosts.mjs http://127.0.0.1:8000 /usr/bin/chromium PLAN [FOLDER]
//
// The plan is JSON: `hosts` that log to services of their own, `origins` of
// these, and `fast`, a host whose clock is 40 s ahead. On "the bus may go"
// whoever started this kills the server, and has it logged on the hosts and
// here; on "the bus may come back" the server is to be started again. With a
// folder this leaves screenshots there.
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const [url, executablePath, planned, shots] = process.argv.slice(2);
const { hosts, origins, fast } = JSON.parse(planned);
const browser = await chromium.launch({
  executablePath,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});

const problems = [];
const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
page.on("pageerror", (error) => problems.push(String(error)));
page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
const seen = (id) => page.locator(`[data-testid="${id}"]`);
const shot = async (name) => shots && (await page.screenshot({ path: `${shots}/${name}.png` }));
const rows = seen("entry-row");
const [first] = hosts;

async function step(name, action) {
  await action();
  console.log(name);
}

/** Waits until exactly the entries of this host are listed, and some are. */
async function onlyEntriesOf(host) {
  await page.waitForFunction((host) => {
    const names = [...document.querySelectorAll('[data-testid="entry-host"]')];
    const rows = document.querySelectorAll('[data-testid="entry-row"]').length;
    return rows > 0 && names.length === rows && names.every((name) => name.innerText === host);
  }, host);
}

/** How many entries of a host the service has. */
async function stored(host) {
  const answer = await fetch(`${url}/api/logs?limit=1000&host=${encodeURIComponent(host)}`);
  return (await answer.json()).entries.length;
}

/** Waits until the filter says of a host what the service has of it. */
async function countIsRight(host) {
  await seen(`host-${host}`).waitFor();
  const number = seen(`host-${host}`).locator(".number");
  for (;;) {
    // In this order: what comes in between is not shown too early.
    const shown = Number((await number.innerText()).replace(",", ""));
    const expected = await stored(host);
    if (shown === expected) return shown;
    assert.ok(shown < expected, `${host}: ${shown} are shown, ${expected} are stored`);
    await page.waitForFunction(
      ({ host, shown }) => {
        const filter = document.querySelector(`[data-testid="host-${CSS.escape(host)}"] .number`);
        return Number(filter.innerText.replace(",", "")) > shown;
      },
      { host, shown },
    );
  }
}

/** The rows of the detail's list about the way of an entry. */
async function journey() {
  const list = page.locator('[aria-label="From another host"]');
  const [names, values] = [await list.locator("dt").allInnerTexts(), await list.locator("dd").allInnerTexts()];
  return Object.fromEntries(names.map((name, at) => [name, values[at]]));
}

try {
  await page.goto(url);
  await rows.first().waitFor();

  await step("each host is a filter with its count", async () => {
    for (const host of [...hosts, fast]) assert.ok((await countIsRight(host)) > 0);
    assert.equal(await seen("bus").innerText(), "Bus");
    await shot("hosts");
  });

  await step("a host can be seen alone, and left out", async () => {
    await seen(`host-${first}`).click();
    await onlyEntriesOf(first);
    await shot("hosts-one");
    assert.equal(new URL(page.url()).searchParams.get("host"), first);
    await seen("clear-hosts").click();
    await seen(`host-${first}`).hover();
    await seen(`not-host-${first}`).click();
    await page.waitForFunction((host) => {
      const names = [...document.querySelectorAll('[data-testid="entry-host"]')];
      return names.length > 0 && names.every((name) => name.innerText !== host);
    }, first);
    await seen("clear-filters").click();
  });

  await step("an entry says where it comes from", async () => {
    await seen(`host-${first}`).click();
    await seen("level-ERROR").click();
    await page.waitForFunction(() => {
      const levels = [...document.querySelectorAll('[data-testid="entry-row"]')];
      return levels.length > 0 && levels.every((row) => row.dataset.level === "ERROR");
    });
    await rows.last().locator(".line").click();
    await seen("entry-detail").waitFor();
    const { from, there, clocks, ...times } = await journey();
    assert.ok(origins.some((origin) => from === `${first}, instance ${origin}`), from);
    assert.match(there, /^number \d+ of cantina-session-\d{8}-\d{6}$/);
    assert.deepEqual(Object.keys(times), ["logged", "received", "arrived here"]);
    assert.ok(!clocks?.includes("ahead"), "all of them are on this machine");
    assert.match(await seen("entry-detail").innerText(), /KeyError: 'key'/);
    await shot("hosts-detail");
    await seen("clear-filters").click();
  });

  await step("a clock that is ahead is said to be so", async () => {
    await seen(`host-${fast}`).click();
    await onlyEntriesOf(fast);
    // Less the time on the way, which may be long on a busy machine.
    assert.match(await seen(`host-${fast}`).innerText(), /\+(3\d|40) s/);
    await rows.last().locator(".line").click();
    await seen("entry-detail").waitFor();
    const ahead = new RegExp(`^${fast}’s clock is about (3\\d|40) s ahead of ours$`);
    assert.match((await journey()).clocks, ahead);
    await shot("hosts-clock");
    await seen("clear-filters").click();
  });

  await step("the ledger says what came from which host", async () => {
    await seen("ledger").locator("summary").click();
    const sheet = seen("ledger").getByRole("table").last();
    for (const host of [...hosts, fast]) {
      await sheet.getByRole("rowheader", { name: host, exact: true }).waitFor();
    }
    await shot("hosts-ledger");
    await seen("ledger").locator("summary").click();
  });

  await step("a host that was chosen is listed, also if nothing is there of it", async () => {
    await page.goto(`${url}/?host=nobody`);
    await seen("no-match").waitFor();
    assert.match(await seen("host-nobody").innerText(), /^nobody\s+0$/);
    assert.equal(await seen("host-nobody").getAttribute("aria-pressed"), "true");
    await seen("clear-filters").click();
    await rows.first().waitFor();
    assert.equal(await seen("host-nobody").count(), 0);
  });

  const before = await stored(first);

  await step("the bus may go", async () => {});

  await step("a bus that is away is seen, and how much waits for it", async () => {
    const away = /^Bus away since \d\d:\d\d:\d\d · (\d+) entries waiting$/;
    await page.waitForFunction((away) => {
      const found = new RegExp(away).exec(document.querySelector('[data-testid="bus"]')?.innerText);
      return Number(found?.[1]) > 100;
    }, away.source);
    // What is logged here is here.
    await rows.getByText("line 100 while away", { exact: true }).waitFor();
    assert.match(await seen("connection").innerText(), /connected/i);
    assert.match(await seen("bus").getAttribute("title"), /is kept, and published when it is back/);
    await shot("hosts-away");
    await seen("theme-toggle").click();
    await page.setViewportSize({ width: 390, height: 800 });
    await seen("bus").waitFor();
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
    await shot("hosts-away-narrow");
    await page.setViewportSize({ width: 1440, height: 900 });
    await seen("theme-toggle").click();
  });

  await step("the bus may come back", async () => {});

  await step("what waited arrives, and all is well", async () => {
    await seen("bus").filter({ hasText: /^\s*Bus\s*$/ }).waitFor();
    await seen(`host-${first}`).click();
    await rows.getByText("line 100 while away", { exact: true }).waitFor();
    await onlyEntriesOf(first);
    assert.ok((await countIsRight(first)) >= before + 100);
    await shot("hosts-back");
  });

  assert.deepEqual(problems, [], "nothing went wrong in the page");
  console.log("all seen");
} catch (error) {
  await shot("failed");
  console.log(String(error?.stack ?? error), JSON.stringify(problems));
  process.exitCode = 1;
} finally {
  await browser.close();
}
