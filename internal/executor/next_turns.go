package executor

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/procfs"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/membership"
	"github.com/airlock-run/airlock/internal/queue"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/supervise"
)

// nextTurns holds the agents that were started for the next turns of conversations: those of the newest turns, each
// for a limited time. Its methods are safe for concurrent use.
type nextTurns struct {
	max  int           // number of agents at most; 0: none are started
	hold time.Duration // after which an agent is given up
	// memoryIsShort reports whether the machine needs the memory of the agents.
	memoryIsShort func() bool

	mu      sync.Mutex
	waiting []*waitingAgent // the oldest first
}

// waitingAgent waits for the next turn of one conversation.
type waitingAgent struct {
	conversation execution.Ref
	release      func() // removes the agent, unless a job has got it; does not block
	expiry       *time.Timer
}

// conversationRef names the conversation of a turn.
func conversationRef(e *execution.Execution) execution.Ref {
	return execution.Ref{Tenant: e.Tenant, ID: e.ConversationID}
}

// add holds an agent. The oldest one is given up for it if there are too many.
func (n *nextTurns) add(conversation execution.Ref, release func()) {
	w := &waitingAgent{conversation: conversation, release: release}
	given := n.remove(func(o *waitingAgent) bool { return o.conversation == conversation })
	n.mu.Lock() // until the agent is there, also for its expiry
	w.expiry = time.AfterFunc(n.hold, func() { n.give(n.remove(func(o *waitingAgent) bool { return o == w })) })
	n.waiting = append(n.waiting, w)
	n.mu.Unlock()
	n.give(given)
	n.shrink(n.max)
}

// take returns the release of the agent that waits for a turn of a conversation. The caller calls it after the turn,
// which gets the agent from the sandboxes.
func (n *nextTurns) take(conversation execution.Ref) (release func()) {
	taken := n.remove(func(o *waitingAgent) bool { return o.conversation == conversation })
	return func() { n.give(taken) }
}

// holds reports whether an agent waits for a turn of a conversation.
func (n *nextTurns) holds(conversation execution.Ref) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, w := range n.waiting {
		if w.conversation == conversation {
			return true
		}
	}
	return false
}

// shrink gives up the oldest agents until at most limit are left.
func (n *nextTurns) shrink(limit int) {
	n.mu.Lock()
	over := max(0, len(n.waiting)-max(limit, 0))
	given := n.waiting[:over:over]
	n.waiting = n.waiting[over:]
	n.mu.Unlock()
	n.give(given)
}

func (n *nextTurns) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.waiting)
}

func (n *nextTurns) remove(match func(*waitingAgent) bool) (removed []*waitingAgent) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var rest []*waitingAgent
	for _, w := range n.waiting {
		if match(w) {
			removed = append(removed, w)
		} else {
			rest = append(rest, w)
		}
	}
	n.waiting = rest
	return removed
}

func (n *nextTurns) give(agents []*waitingAgent) {
	for _, w := range agents {
		w.expiry.Stop()
		w.release()
	}
}

// memoryIsShort reports whether less than a tenth of the memory of this machine is available. Where that is not known,
// it is not short.
func memoryIsShort() bool {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return false
	}
	info, err := fs.Meminfo()
	return err == nil && info.MemAvailable != nil && info.MemTotal != nil && *info.MemAvailable < *info.MemTotal/10
}

// makeRoom gives up agents that wait for turns, so that they use no more slots than are free, and no memory that is
// short.
func (x *Executor) makeRoom() {
	limit := x.slots.count(execution.LaneInteractive)
	if x.nextTurns.memoryIsShort() {
		limit = 0
	}
	x.nextTurns.shrink(limit)
}

const (
	// holderDelay is the time that the other executors leave to the one with an agent waiting for a turn. A signal to it
	// needs less. It is what a turn loses if that executor is busy or dead.
	holderDelay = 300 * time.Millisecond
	// turnsBuffer bounds the signals about turns that have not been handled. A signal that is lost is harmless.
	turnsBuffer = 64
	// makeRoomInterval is how often the executor looks whether memory is short, besides at each attempt.
	makeRoomInterval = 2 * time.Second
)

// SignalTurn tells the executor of a new turn of a conversation for which an agent waits here. Without an execution,
// the conversation was deleted. It never blocks.
func (x *Executor) SignalTurn(conversation execution.Ref, executionID string) {
	switch {
	case executionID == "":
		x.nextTurns.take(conversation)()
	case x.nextTurns.holds(conversation):
		select {
		case x.turns <- execution.Ref{Tenant: conversation.Tenant, ID: executionID}:
		default:
		}
	}
}

// runTurns runs the turns for which an agent waits here, if a slot is free. Their notifications, which others may have,
// find that they run. It gives up agents when memory is short.
func (x *Executor) runTurns(ctx, workCtx context.Context, session membership.Session, stopPulling context.CancelCauseFunc) error {
	look := time.NewTicker(makeRoomInterval)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-look.C:
			x.makeRoom()
		case ref := <-x.turns:
			x.startAttempt(workCtx, session, queue.Notification{Ref: ref}, execution.LaneInteractive, stopPulling)
		}
	}
}

// yieldToHolder waits if another executor has an agent waiting for the turn.
func (x *Executor) yieldToHolder(ctx context.Context, session membership.Session, n queue.Notification) {
	if n.Holder == "" || n.Holder == fleet.ProcessOf(session.ID) {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(holderDelay):
	}
}

// mayHold reports whether an agent for the next turn of the attempt's conversation is started when the turn has ended.
// The slot of the attempt is free then. An executor that stops or drains, or whose Engine fails, starts none.
func (a *attempt) mayHold() bool {
	x := a.executor
	return x.nextTurns.max > 0 && a.execution.ConversationID != "" && a.run != nil && a.run.Job.Ahead != nil &&
		x.slots.count(execution.LaneInteractive)+1 > x.nextTurns.count() && x.health.snapshot().Pulling && !x.nextTurns.memoryIsShort()
}

// prepareNextTurn starts an agent for the next turn of the conversation, in the background, unless there is a next turn
// already.
func (a *attempt) prepareNextTurn(ctx context.Context, ch execution.Change) {
	if !ch.Execution.Status.Terminal() || len(ch.Notify) > 0 || !a.holds {
		return
	}
	x := a.executor
	x.starts.Go(func() { x.startNextTurn(ctx, &ch.Execution, a.log) })
}

// startNextTurn starts an agent for the next turn of the conversation of a turn that has ended: with its session and
// its files, as the turn itself would do it. Any failure is harmless: that turn then starts its own agent.
func (x *Executor) startNextTurn(ctx context.Context, last *execution.Execution, log *zap.Logger) {
	defer supervise.RecoverLog(log, "the start of an agent for the next turn panicked")
	next := &execution.Execution{
		Tenant: last.Tenant, Kind: last.Kind, ConversationID: last.ConversationID, Turn: last.Turn + 1, Limits: last.Limits,
		AgentID: last.AgentID, AgentVersion: last.AgentVersion,
		Task: execution.Task{
			Runtime: last.Task.Runtime, Model: last.Task.Model, Instructions: last.Task.Instructions, HasSettings: last.Task.HasSettings,
			Environment: last.Task.Environment,
		},
	}
	a := &attempt{executor: x, execution: next, log: log}
	release, err := a.startAhead(ctx)
	if err != nil {
		log.Warn("could not start an agent for the next turn", zap.Error(err))
		return
	}
	if release == nil {
		return
	}
	conversation := conversationRef(next)
	x.nextTurns.add(conversation, release)
	// The signal that the conversation was deleted may have come before.
	_, err = x.config.Tasks.Conversation(ctx, conversation.Tenant, conversation.ID)
	if _, deleted := errors.AsType[*store.NotFoundError](err); deleted {
		x.nextTurns.take(conversation)()
	}
}

// startAhead starts the agent of an attempt that may come. release is nil if its agent cannot be started ahead.
func (a *attempt) startAhead(ctx context.Context) (release func(), err error) {
	if err := a.loadTask(ctx); err != nil {
		return nil, err
	}
	x := a.executor
	job := x.config.Runtimes.PrepareStart(a.execution)
	if job == nil {
		return nil, nil
	}
	workspace, closeWorkspace, err := a.loadWorkspace(ctx)
	defer closeWorkspace()
	if err != nil {
		return nil, err
	}
	job.Workspace = workspace
	return x.config.Sandbox.StartAhead(ctx, *job)
}
