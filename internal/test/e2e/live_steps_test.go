package e2e

import (
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/client"
	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/test/modelstub"
)

// stepsUntilTool and allSteps are the steps of a job whose model startSteppingModel started.
var (
	stepsUntilTool = []string{"I look around first.", "uses Bash: echo the-tool-was-here"}
	allSteps       = append(stepsUntilTool[:2:2], "I looked.")
)

// steppingModel lets the agent use a tool. Its response to the result of the tool waits until the test calls release.
type steppingModel struct {
	*modelstub.Server
	toolUsed chan struct{} // closed when the agent has used the tool
	release  func()
}

// startSteppingModel starts a model, which the end of the test releases and closes.
func startSteppingModel(t *testing.T) steppingModel {
	t.Helper()
	released, toolUsed := make(chan struct{}), make(chan struct{})
	use := sync.OnceFunc(func() { close(toolUsed) })
	m := steppingModel{toolUsed: toolUsed, release: sync.OnceFunc(func() { close(released) })}
	m.Server = modelstub.Start(modelstub.ByPrompt(map[string]modelstub.Script{
		"look around": modelstub.Always(modelstub.ToolUse("Bash", map[string]string{
			"command": "echo the-tool-was-here", "description": "look",
		}).Saying("I look around first.")),
		"was-here": func(modelstub.Request) modelstub.Response {
			use()
			<-released
			return modelstub.Text("I looked.")
		},
	}))
	t.Cleanup(m.Close)
	t.Cleanup(m.release)
	return m
}

// streamSteps reads the events of an execution until its end and returns the texts of its steps. It requires that no
// step comes twice. For each step it calls onStep with all texts so far.
func (a *airlock) streamSteps(executionID string, onStep func(texts []string)) (texts []string) {
	a.t.Helper()
	c, err := client.New(a.URL)
	require.NoError(a.t, err)
	for e, err := range c.Events(a.t.Context(), executionID) {
		require.NoError(a.t, err)
		if e.Kind != "output" && e.Kind != "progress" {
			continue
		}
		require.Equal(a.t, len(texts)+1, e.Step.Number)
		texts = append(texts, e.Step.Text)
		onStep(texts)
	}
	return texts
}

// The steps of a job appear while it runs, in the stream of its events and on the page, and none appears twice. Then
// the page shows the transcript.
func TestClaudeStepsAppearWhileItRuns(t *testing.T) {
	t.Parallel()
	model := startSteppingModel(t)
	a := start(t, withClaude(model.Server))
	agent := a.createAgent(contract.CreateAgent{Name: "Claude", Instructions: "Look around"})
	run := a.submitRun(agent.Id, contract.RunAgent{Input: "look around", Timeout: "4m"}).ExecutionId
	ctx := openBrowser(t)

	texts := a.streamSteps(run, func(texts []string) {
		if len(texts) != len(stepsUntilTool) {
			return
		}
		require.Equal(t, contract.StatusRunning, a.getExecution(run).Status)
		require.NoError(t, chromedp.Do(ctx,
			chromedp.Navigate(a.URL+"/#/e/"+run),
			chromedp.WaitVisible(`//ol[@aria-label="Steps"]/li[2][.="uses Bash: echo the-tool-was-here"]`),
		), "the page shows no steps")
		screenshot(ctx, t, "steps.png")
		model.release()
	})
	require.Equal(t, allSteps, texts)
	require.Equal(t, contract.StatusSucceeded, a.awaitExecution(run).Status)
	require.NoError(t, chromedp.Do(ctx,
		chromedp.WaitVisible(`//section[@aria-label="Result"]//*[contains(text(), "I looked.")]`),
		chromedp.WaitNotPresent(`//ol[@aria-label="Steps"]`),
		chromedp.WaitVisible(`//section[@aria-label="Transcript"]//button[contains(., "Bash")]`),
		chromedp.WaitVisible(`//section[@aria-label="Transcript"]//*[contains(text(), "Ended: succeeded")]`),
	), "the page shows no transcript")
	require.Equal(t, allSteps, a.streamSteps(run, func([]string) {}), "the stored steps")
}

// An API and an executor are two processes: the API asks the executor over the network. If the executor does not
// listen, the job runs all the same, and its steps appear with its end.
func TestStepsOfAnotherProcess(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		listenAddr string
		live       bool
	}{
		"live": {"127.0.0.1:0", true},
		"off":  {"off", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			model := startSteppingModel(t)
			c := newCluster(t)
			c.startExecutor("AIRLOCK_STEPS_LISTEN_ADDR="+tc.listenAddr,
				"ANTHROPIC_API_KEY="+operatorKey, "ANTHROPIC_BASE_URL="+model.URL().String())
			agent := c.createAgent(contract.CreateAgent{Name: "Claude", Instructions: "Look around", Runtime: "claude"})
			run := c.runAgent(agent.Id, "look around").ExecutionId
			if !tc.live {
				go func() {
					<-model.toolUsed
					model.release()
				}()
			}
			texts := c.streamSteps(run, func(texts []string) {
				status := c.getExecution(run).Status
				if tc.live && len(texts) == len(stepsUntilTool) {
					require.Equal(t, contract.StatusRunning, status)
					model.release()
				}
				if !tc.live {
					require.Equal(t, contract.StatusSucceeded, status)
				}
			})
			require.Equal(t, allSteps, texts)
		})
	}
}
