// Opens the dashboard in Chromium and checks what an operator sees after the
// recorded session was played. Prints "all seen" at the end.
//
//   node browser.mjs http://127.0.0.1:8000 /usr/bin/chromium 127.0.0.1:9020 [FOLDER]
//
// With a folder it leaves screenshots there.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chromium } from "playwright-core";

const [url, executablePath, python, shots] = process.argv.slice(2);
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

async function step(name, action) {
  await action();
  console.log(name);
}

try {
  await page.goto(url);

  await step("the recorded entries are on the screen", async () => {
    await rows.first().waitFor();
    await page.getByText("LoggingService stopped").first().waitFor();
    assert.match(await seen("connection").innerText(), /connected/i);
    assert.match(await seen("state-chip").innerText(), /live/i);
    assert.ok(await seen("service-gpt_service").isVisible());
    await shot("live");
  });

  await step("CRITICAL is visible, and a level is a threshold", async () => {
    await seen("level-CRITICAL").click();
    await page.waitForFunction(() => {
      const levels = [...document.querySelectorAll('[data-testid="entry-row"]')].map(
        (row) => row.dataset.level,
      );
      return levels.length > 0 && levels.every((level) => level === "CRITICAL");
    });
    await shot("critical");
    await seen("level-DEBUG").click();
  });

  await step("a service can be seen alone", async () => {
    await seen("service-gpt_service").click();
    await page.waitForFunction(() => {
      const keys = [...document.querySelectorAll('[data-testid="entry-row"]')].map(
        (row) => row.dataset.serviceKey,
      );
      return keys.length > 0 && keys.every((key) => key === "gpt_service");
    });
    await shot("filtered");
  });

  await step("a text is found, and its traceback unfolds", async () => {
    await seen("search").fill("error processing voice transcript");
    await page.waitForFunction(
      () => document.querySelectorAll('[data-testid="entry-row"]').length === 1,
    );
    assert.ok((await page.locator("mark").count()) > 0, "the hit is marked");
    await rows.first().click();
    await seen("entry-detail").waitFor();
    const detail = await seen("entry-detail").innerText();
    assert.match(detail, /Traceback \(most recent call last\)/);
    assert.match(detail, /raise Exception\(error_msg\)/);
    await shot("traceback");
    await page.keyboard.press("Escape");
    assert.ok(page.url().includes("?"), "the filters are in the address");
  });

  await step("what is logged now appears by itself", async () => {
    await page.goto(url);
    await rows.first().waitFor();
    const [host, port] = python.split(":");
    const logged = spawnSync("python3", [
      "-c",
      `import logging, logging.handlers
logging.getLogger().addHandler(logging.handlers.SocketHandler('${host}', ${port}))
logging.getLogger('cantina_os.brand_new').error('<b>just</b> \\u202e now')`,
    ]);
    assert.equal(logged.status, 0, String(logged.stderr));
    await seen("service-brand_new").waitFor();
    const row = page.locator('[data-service-key="brand_new"][data-testid="entry-row"]');
    await row.waitFor();
    const text = await row.innerText();
    assert.ok(text.includes("<b>just</b>"), "markup is text");
    assert.ok(!text.includes("\u202e"), "what turns text around is made visible");
  });

  await step("the ledger is whole", async () => {
    await page.waitForFunction(() =>
      /100\s*%/.test(document.querySelector('[data-testid="ledger"]')?.textContent ?? ""),
    );
  });

  await step("it is as readable in the other theme", async () => {
    await seen("theme-toggle").click();
    await shot("theme");
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
