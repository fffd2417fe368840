package docker

import (
	"net/http"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// gate stops a job at one point until the test releases it: the job sends a request through its egress, and the gate
// answers it after the release.
type gate struct {
	reached     chan struct{} // closed when the request arrives
	release     chan struct{} // closed by the test
	requestDone chan struct{} // closed when the request has ended, answered or not
	gateway     gateway
}

func newGate() *gate {
	g := &gate{reached: make(chan struct{}), release: make(chan struct{}), requestDone: make(chan struct{})}
	g.gateway = newGateway(func(_ http.ResponseWriter, r *http.Request) {
		defer close(g.requestDone)
		close(g.reached)
		select {
		case <-g.release:
		case <-r.Context().Done():
		}
	})
	return g
}

// job returns a job that sends the request and does nothing else.
func (g *gate) job() sandbox.Job {
	job := probe("post", sandbox.EgressURL)
	job.Egress = g.gateway
	return job
}
