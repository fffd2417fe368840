package e2e

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
)

// openBrowser starts a real Chromium. Its flags allow it to call only the page's
// own server.
func openBrowser(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1280, 800),
		chromedp.Flag("disable-component-update", true),
	)...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	return ctx
}

// A user sends a message, sees the reply, creates the agent that the reply
// proposes, and finds it in the list.
func TestPage(t *testing.T) {
	t.Parallel()
	a := start(t)
	ctx := openBrowser(t)
	input := `//textarea`
	text := func(content string) string { return `//*[contains(normalize-space(.), "` + content + `")]` }

	require.NoError(t, chromedp.Do(ctx,
		chromedp.Navigate(a.URL+"/"),
		chromedp.WaitVisible(input),
		chromedp.SendKeys(input, "Make an agent that summarises an article"+kb.Enter),
		chromedp.WaitVisible(button("Create agent")),
	), "no reply with a draft")
	screenshot(ctx, t, "draft.png")

	require.NoError(t, chromedp.Do(ctx,
		chromedp.Click(button("Create agent")),
		chromedp.WaitVisible(`//nav`+text("Summari")),
	), "the agent was not created")
	screenshot(ctx, t, "created.png")

	var agents contract.AgentList
	a.get("/agents", &agents)
	require.Len(t, agents.Agents, 1)
}

// The page shows markup from a model as text, and the browser does not run it.
func TestPageShowsMarkupAsText(t *testing.T) {
	t.Parallel()
	a := start(t)
	agent := a.createAgent(contract.CreateAgent{Name: "Echo", Instructions: "Convert the input to upper case", Runtime: "offline"})
	run := a.awaitExecution(a.runAgent(agent.Id, `<img src=x onerror="document.title='HACKED'"><b>bold</b>`).ExecutionId)
	require.Contains(t, run.Result.Text, "<IMG")
	ctx := openBrowser(t)
	require.NoError(t, chromedp.Do(ctx,
		chromedp.Navigate(a.URL+"/#/e/"+run.Id),
		chromedp.WaitVisible(`//*[contains(text(), "<IMG SRC=X")]`),
	))
	title, err := chromedp.Run(ctx, chromedp.Title())
	require.NoError(t, err)
	images, err := chromedp.Run(ctx, chromedp.Evaluate[int](`document.querySelectorAll('img[src=x i]').length`))
	require.NoError(t, err)
	require.NotContains(t, title, "HACKED")
	require.Zero(t, images)
}

// button is the XPath of a button with this text.
func button(text string) string { return `//button[contains(normalize-space(.), "` + text + `")]` }

// screenshot saves a picture of the page in the folder AIRLOCK_TEST_SCREENSHOT_DIR, if it is set.
func screenshot(ctx context.Context, t *testing.T, name string) {
	t.Helper()
	dir := os.Getenv("AIRLOCK_TEST_SCREENSHOT_DIR")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), png, 0o600))
}
