package docker

import (
	"net/http"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// meeting holds a job at one point until the test lets it go on, by a request
// through its egress that is answered only then.
type gate struct {
	reached     chan struct{} // closed when the job got there
	release     chan struct{} // closed by the test
	requestDone chan struct{} // closed when the request is over, answered or not
	gateway     gateway
}

func newGate() *gate {
	m := &gate{reached: make(chan struct{}), release: make(chan struct{}), requestDone: make(chan struct{})}
	m.gateway = newGateway(func(_ http.ResponseWriter, r *http.Request) {
		defer close(m.requestDone)
		close(m.reached)
		select {
		case <-m.release:
		case <-r.Context().Done():
		}
	})
	return m
}

// job is one that goes to the meeting and does nothing else.
func (m *gate) job() sandbox.Job {
	job := probe("post", sandbox.EgressURL)
	job.Egress = m.gateway
	return job
}
