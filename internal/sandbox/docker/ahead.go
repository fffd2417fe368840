package docker

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/frame"
)

// maxTemplateFiles bounds the files, in bytes, with which the pool starts agents by demand: it has them in memory.
const maxTemplateFiles = 1 << 20

// startKey identifies how an agent is started, except for its container. It is empty for a container without an agent.
type startKey string

// newStartKey returns the key of a job whose agent can be started ahead. Jobs with the same key can use the same agent.
func newStartKey(job sandbox.Job) startKey {
	h := sha256.New()
	hashStrings(h, job.Ahead.Owner)
	hashStrings(h, job.Argv...)
	hashStrings(h, job.Env...)
	hashStrings(h, string(job.Workspace.SHA256), fmt.Sprint(job.Ahead.Egress, len(job.Ahead.Files)))
	if job.Network != nil {
		hashStrings(h, fmt.Sprint(job.Network.Ports))
	}
	for _, f := range job.Ahead.Files {
		hashStrings(h, f.Path, fmt.Sprint(f.Mode), string(f.Data))
	}
	return startKey(hex.EncodeToString(h.Sum(nil)))
}

// hashStrings hashes a list of strings, so that no other list has the same hash.
func hashStrings(h hash.Hash, list ...string) {
	var length [8]byte
	binary.BigEndian.PutUint64(length[:], uint64(len(list)))
	h.Write(length[:])
	for _, s := range list {
		binary.BigEndian.PutUint64(length[:], uint64(len(s)))
		h.Write(length[:])
		_, _ = io.WriteString(h, s)
	}
}

// withAgent returns the spec of containers in which the agent of such a job has been started. ok is false if agents
// like it are not started ahead.
func (s containerSpec) withAgent(job sandbox.Job) (started containerSpec, ok bool) {
	if job.Ahead == nil {
		return s, false
	}
	s.start = newStartKey(job)
	return s, true
}

// isTemplate reports whether the pool may start further agents like that of a job.
func isTemplate(job sandbox.Job) bool {
	if job.Ahead == nil || job.Ahead.Once || job.Workspace.Size > 0 {
		return false
	}
	size := 0
	for _, f := range job.Ahead.Files {
		size += len(f.Data)
	}
	return size <= maxTemplateFiles
}

// template returns what starts the agent of a job, without the job.
func template(job sandbox.Job) *sandbox.Job {
	return &sandbox.Job{
		Image: job.Image, Argv: job.Argv, Env: job.Env, Workspace: job.Workspace, Ahead: job.Ahead, Limits: job.Limits, Egress: noEgress{},
		Network: job.Network,
	}
}

// StartAhead starts the agent of a job that may come, and holds it for that job: for one with the same start. The
// caller calls release when it is not needed any more; a job that has got it is not affected. A second agent for the
// same start replaces the first. The errors are those of Run.
func (d *Driver) StartAhead(ctx context.Context, job sandbox.Job) (release func(), err error) {
	job.Egress = noEgress{}
	job, err = normalizeJob(job)
	if err != nil {
		return nil, err
	}
	spec, ok := newSpec(job.Image, job.Limits).withAgent(job)
	if !ok {
		return nil, invalidJob("its agent cannot be started ahead")
	}
	c, err := d.prepareAhead(ctx, spec, &job)
	if err != nil {
		return nil, err
	}
	if surplus := d.pool.hold(spec, c); surplus != nil {
		d.discard(ctx, surplus)
	}
	return func() {
		if d.pool.release(spec, c) {
			d.discard(ctx, c)
		}
	}, nil
}

// WaitingAgents counts the agents that wait for a job.
func (d *Driver) WaitingAgents() sandbox.WaitingAgents { return d.pool.waitingAgents() }

// prepareAhead returns a container in which the agent is being started. Without a job, the container has no agent.
func (d *Driver) prepareAhead(ctx context.Context, spec containerSpec, job *sandbox.Job) (*sandboxContainer, error) {
	spec.start = ""
	c, err := d.prepare(ctx, spec, "")
	if err != nil || job == nil {
		return c, err
	}
	if err := c.startAgent(*job); err != nil {
		d.discard(ctx, c)
		return nil, err
	}
	return c, nil
}

// startAgent sends init the start frame. Init starts the agent, which then waits.
func (c *sandboxContainer) startAgent(job sandbox.Job) error {
	start, secret, err := encodeStart(job, true)
	if err != nil {
		return err
	}
	conn := c.stream.Conn
	if err := conn.SetWriteDeadline(time.Now().Add(defaultStartTimeout + restoreTime(job))); err != nil {
		return fmt.Errorf("%w: %w", ErrLost, err)
	}
	c.secret = secret
	if err := writeStart(conn, start, job.Workspace); err != nil {
		return fmt.Errorf("%w: start the agent: %w", ErrLost, err)
	}
	return conn.SetWriteDeadline(time.Time{})
}

// writeStart writes the start frame and the workspace that belongs to it.
func writeStart(w io.Writer, start []byte, workspace sandbox.Workspace) error {
	if _, err := w.Write(start); err != nil {
		return err
	}
	if workspace.Size == 0 {
		return nil
	}
	_, err := io.CopyN(w, workspace.Content, workspace.Size)
	return err
}

// encodeStart returns the start frame of a job, and the secret that authenticates the reports about it. An agent that
// is not started ahead starts when the job frame has come, which follows at once.
func encodeStart(job sandbox.Job, ahead bool) (raw, secret []byte, err error) {
	secret = frame.NewSecret()
	_, none := job.Egress.(noEgress)
	start := frame.Start{
		Secret: secret, Argv: job.Argv, Env: job.Env, Workspace: job.Workspace.Size, Egress: !none, Ahead: ahead,
	}
	if job.Network != nil {
		start.Network = &frame.Network{Ports: job.Network.Ports}
	}
	if job.Ahead != nil {
		start.Files, start.Egress = withModes(job.Ahead.Files), job.Ahead.Egress
	}
	raw, err = frame.EncodeStart(start)
	if err != nil {
		return nil, nil, invalidJob("%v", err)
	}
	return raw, secret, nil
}

// takeWaiting returns a container of the pool that waits for a job; nil: there is none.
func (d *Driver) takeWaiting(ctx context.Context, spec containerSpec) *sandboxContainer {
	for {
		c := d.pool.take(spec, time.Now())
		if c == nil || c.isWaiting() {
			return c
		}
		if spec.start != "" {
			d.log.Warn("an agent that was started ahead has ended", zap.String("image", spec.image), zap.String("reason", c.endReason()))
			d.pool.delayStart(spec, time.Now())
		}
		d.discard(ctx, c)
	}
}

// endReason returns why the init of a container that does not wait any more has ended, as far as it has said so.
func (c *sandboxContainer) endReason() string {
	_ = c.stream.Conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	stream := &demux{r: c.stream.Reader}
	report, err := frame.NewReader(stream, c.secret).Next()
	if err != nil {
		return fmt.Sprintf("%v %s", err, stream.stderr)
	}
	return string(report.Body)
}
