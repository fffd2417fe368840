package docker

import (
	"net/http"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// meeting holds a job at one point until the test lets it go on, by a request
// through its egress that is answered only then.
type meeting struct {
	reached chan struct{} // closed when the job got there
	goOn    chan struct{} // closed by the test
	left    chan struct{} // closed when the request is over, answered or not
	gateway gateway
}

func newMeeting() *meeting {
	m := &meeting{reached: make(chan struct{}), goOn: make(chan struct{}), left: make(chan struct{})}
	m.gateway = newGateway(func(_ http.ResponseWriter, r *http.Request) {
		defer close(m.left)
		close(m.reached)
		select {
		case <-m.goOn:
		case <-r.Context().Done():
		}
	})
	return m
}

// job is one that goes to the meeting and does nothing else.
func (m *meeting) job() sandbox.Job {
	job := probe("post", sandbox.EgressURL)
	job.Egress = m.gateway
	return job
}
