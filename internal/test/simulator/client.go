package simulator

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

var httpClient = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}

// tenant is a caller of one process of the API.
type tenant struct {
	name, url, agent string
}

// newTenant returns a tenant with an agent.
func (f *Fleet) newTenant(ctx context.Context, name string) (tenant, error) {
	t := tenant{name: name, url: f.apis[0].url}
	var created struct {
		ID string `json:"id"`
	}
	body := fmt.Sprintf(`{"name":"simulated","instructions":"Wait.","runtime":%q,"timeout":"1h"}`, runtimeName)
	err := t.call(ctx, http.MethodPost, "/agents", "application/json", body, http.StatusCreated, &created)
	t.agent = created.ID
	return t, err
}

// accepted is an execution that the API has accepted.
type accepted struct {
	id, mark string
	at       time.Time // when the 202 arrived
}

// post posts a run.
func (t tenant) post(ctx context.Context, in Input) (accepted, error) {
	body, err := json.Marshal(map[string]string{"input": in.String()})
	if err != nil {
		return accepted{}, err
	}
	var got struct {
		ID string `json:"executionId"`
	}
	err = t.call(ctx, http.MethodPost, "/agents/"+t.agent+"/run", "application/json", string(body), http.StatusAccepted, &got)
	return accepted{id: got.ID, mark: in.Mark, at: time.Now()}, err
}

// postMany posts n runs with that many clients at a time.
func (t tenant) postMany(ctx context.Context, n, clients int, in Input) error {
	var posting errgroup.Group
	posting.SetLimit(clients)
	for range n {
		posting.Go(func() error {
			_, err := t.post(ctx, in)
			return err
		})
	}
	return posting.Wait()
}

// postBatch posts a batch of n equal inputs.
func (t tenant) postBatch(ctx context.Context, n int, in Input) (accepted, error) {
	line, err := json.Marshal(map[string]string{"input": in.String()})
	if err != nil {
		return accepted{}, err
	}
	lines := strings.Repeat(string(line)+"\n", n)
	err = t.call(ctx, http.MethodPost, "/agents/"+t.agent+"/batches", "application/jsonl", lines, http.StatusAccepted, nil)
	return accepted{mark: in.Mark, at: time.Now()}, err
}

// watch waits for the end of an execution in a long poll.
func (t tenant) watch(ctx context.Context, id string) error {
	var got struct {
		Status string `json:"status"`
	}
	err := t.call(ctx, http.MethodGet, "/executions/"+id+"?wait=60s", "", "", http.StatusOK, &got)
	if err == nil && got.Status != "succeeded" {
		err = fmt.Errorf("execution %s is %s after a long poll", id, got.Status)
	}
	return err
}

func (t tenant) call(ctx context.Context, method, path, contentType, body string, want int, result any) error {
	req, err := http.NewRequestWithContext(ctx, method, t.url+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("X-User-Id", t.name)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := httpClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != want {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, answer)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(answer, result)
}
