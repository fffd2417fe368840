package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/app/config"
	"github.com/airlock-run/airlock/internal/app/dev"
	"github.com/airlock-run/airlock/internal/app/operator"
	"github.com/airlock-run/airlock/internal/domain/tenant"
)

// With a server that requires a key, the page asks for it, uses it for all
// requests and downloads, and removes it on sign-out.
func TestPageWithAPIKey(t *testing.T) {
	t.Parallel()
	pepper := strings.Repeat("pepper", 6)
	a := start(t, withFileRuntimes(t), func(d *dev.Config) { d.API.AuthMode, d.API.Pepper = config.AuthKeys, pepper })
	issuer, err := operator.NewKeyIssuer(
		config.Services{Project: config.LocalProject, FirestoreHost: a.started.Firestore}, config.PepperSource{Pepper: pepper})
	require.NoError(t, err)
	_, secret, err := issuer.Issue(t.Context(), operator.KeyRequest{Tenant: "ada", Name: "page", Scopes: tenant.AllScopes})
	require.NoError(t, err)
	a = a.withAPIKey(string(secret))
	agent := a.createAgent(contract.CreateAgent{Name: "Writer", Instructions: "write", Runtime: "writer"})
	e := a.awaitExecution(a.runAgent(agent.Id, "the content").ExecutionId)
	require.NotEmpty(t, e.Files)

	ctx := openBrowser(t)
	folder := t.TempDir()
	field := `//input[@type="password"]`
	require.NoError(t, chromedp.Do(ctx,
		setDownloadDir(folder),
		chromedp.Navigate(a.URL+"/#/e/"+e.Id),
		chromedp.WaitVisible(field),
		chromedp.SendKeys(field, "alk_wrong"+kb.Enter),
		chromedp.WaitVisible(`//*[@role="alert"]`),
	), "the page does not ask for a key")
	screenshot(ctx, t, "sign-in.png")
	require.NoError(t, chromedp.Do(ctx,
		chromedp.SendKeys(field, string(secret)+kb.Enter),
		chromedp.WaitVisible(`//section[@aria-label="Output files"]`),
		chromedp.Click(`//button[@aria-label="Download digits"]`),
	), "the key is not accepted")
	screenshot(ctx, t, "files.png")
	a.eventually("downloaded", func() bool {
		data, err := os.ReadFile(filepath.Join(folder, "digits"))
		return err == nil && string(data) == "0123456789"
	})
	require.NoError(t, chromedp.Do(ctx,
		chromedp.Click(`//button[contains(., "Sign out")]`),
		chromedp.WaitVisible(field),
	))
	stored, err := chromedp.Run(ctx, chromedp.Evaluate[int](`sessionStorage.length + localStorage.length + document.cookie.length`))
	require.NoError(t, err)
	require.Zero(t, stored)
}

// Every page fits a screen of 360 pixels, light or dark, with very long words.
func TestPageOnSmallScreen(t *testing.T) {
	t.Parallel()
	a := start(t, withFileRuntimes(t))
	long := strings.Repeat("longword", 20)
	agent := a.createAgent(contract.CreateAgent{
		Name: long, Description: long, Instructions: long, Runtime: "writer", Budget: contract.Budget{MaxTokens: 1_000_000, MaxCostUsd: 2.5},
	})
	run := a.awaitExecution(a.runAgent(agent.Id, long).ExecutionId)
	batch := a.awaitBatch(a.submitBatch(agent.Id, `"`+long+`"`))
	turn := a.sendMessage(contract.SendMessage{Message: long, AgentId: agent.Id})
	a.awaitExecution(turn.ExecutionId)

	ctx := openBrowser(t)
	require.NoError(t, chromedp.Do(ctx, chromedp.EmulateViewport(360, 740)))
	for _, scheme := range []string{"light", "dark"} {
		require.NoError(t, chromedp.Do(ctx, emulateColorScheme(scheme)))
		for name, page := range map[string]struct{ path, element string }{
			"new":        {"#/", `//textarea`},
			"agent":      {"#/a/" + agent.Id, `//section[@aria-label="Newest run"]`},
			"new-agent":  {"#/a", `//button[contains(., "Create agent")]`},
			"execution":  {"#/e/" + run.Id, `//section[@aria-label="Transcript"]//*[contains(text(), "Ended: succeeded")]`},
			"executions": {"#/e", `//main//li`},
			"batch":      {"#/b/" + batch.Id, `//progress`},
			"batches":    {"#/b", `//main//li`},
			"chat":       {"#/c/" + turn.ConversationId, `//*[@role="log"]//p`},
		} {
			require.NoError(t, chromedp.Do(ctx,
				chromedp.Navigate(a.URL+"/"+page.path),
				chromedp.WaitVisible(page.element),
			), name)
			overflowing, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](overflowScript))
			require.NoError(t, err)
			require.Empty(t, overflowing, "%s, %s", name, scheme)
			screenshot(ctx, t, "small-"+name+"-"+scheme+".png")
		}
	}
}

// overflowScript returns the elements that extend beyond the right edge of the screen.
const overflowScript = `[...document.querySelectorAll('body, body *')]
	.filter(e => e.getBoundingClientRect().right > innerWidth + 1 && getComputedStyle(e).position !== 'absolute' && !e.closest('.sr-only, .truncate'))
	.map(e => e.tagName + ' ' + e.className)`

// The lists in two tabs show at once what another client starts. Nothing unfinished is in the lists before, so that
// the page has no reason to read them again by itself.
func TestPageListsFollowChanges(t *testing.T) {
	t.Parallel()
	a := start(t)
	agent := a.createAgent(offlineAgent)
	executions := openBrowser(t)
	require.NoError(t, chromedp.Do(executions,
		chromedp.Navigate(a.URL+"/#/e"),
		chromedp.WaitVisible(`//main//*[.="No executions yet"]`),
	))
	batches, cancel := chromedp.NewContext(executions) // another tab of the same browser
	t.Cleanup(cancel)
	require.NoError(t, chromedp.Do(batches,
		chromedp.Navigate(a.URL+"/#/b"),
		chromedp.WaitVisible(`//main//*[.="No batches yet"]`),
	))
	a.runAgent(agent.Id, "one two three")
	require.NoError(t, chromedp.Do(executions,
		chromedp.WaitVisible(`//main//li[contains(., "one two three") and contains(., "Succeeded")]`),
	), "the run is not in the list")
	a.submitBatch(agent.Id, `"four five"`)
	require.NoError(t, chromedp.Do(batches, chromedp.WaitVisible(`//main//li`)), "the batch is not in the list")
	require.NoError(t, chromedp.Do(executions,
		chromedp.WaitVisible(`//main//li[contains(., "four five") and contains(., "Succeeded")]`),
	), "the batch's execution is not in the list")
	screenshot(executions, t, "list.png")
}

// A user creates, changes and deletes an agent with the page's forms.
func TestPageManagesAgents(t *testing.T) {
	t.Parallel()
	a := start(t, func(d *dev.Config) { d.NoExecutor = true })
	ctx := openBrowser(t)
	labelled := func(label string) string { return `//*[@id=//label[.="` + label + `"]/@for]` }

	require.NoError(t, chromedp.Do(ctx,
		chromedp.Navigate(a.URL+"/#/a"),
		chromedp.WaitVisible(labelled("Name")),
		chromedp.SendKeys(labelled("Name"), "Sorter"),
		chromedp.SendKeys(labelled("Instructions"), "Sort the lines."),
		chromedp.SendKeys(labelled("Token limit"), "5000"),
		chromedp.Click(button("Create agent")),
		chromedp.WaitVisible(button("Edit agent")),
	), "not created")
	screenshot(ctx, t, "agent.png")
	require.NoError(t, chromedp.Do(ctx,
		chromedp.Click(button("Edit agent")),
		chromedp.SendKeys(labelled("Name"), " of lines"),
		chromedp.SendKeys(labelled("Token limit"), kb.End+strings.Repeat(kb.Backspace, 3)),
		chromedp.Click(button("Save changes")),
		chromedp.WaitVisible(`//h1[.="Sorter of lines"]`),
	), "not changed")
	var list contract.AgentList
	a.get("/agents", &list)
	require.Equal(t, "Sorter of lines", list.Agents[0].Name)
	require.EqualValues(t, 5, list.Agents[0].Budget.MaxTokens)
	require.NoError(t, chromedp.Do(ctx,
		chromedp.Click(button("Delete…")),
		chromedp.Click(button("Delete agent")),
		chromedp.WaitVisible(`//*[contains(text(), "None yet. Ask for one")]`),
	), "not deleted")
	list = contract.AgentList{}
	a.get("/agents", &list)
	require.Empty(t, list.Agents)
}

func setDownloadDir(folder string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{Behavior: browser.SetDownloadBehaviorBehaviorAllow, DownloadPath: folder})
		return err
	})
}

// emulateColorScheme makes the browser report that its user prefers a colour scheme.
func emulateColorScheme(scheme string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	})
}
