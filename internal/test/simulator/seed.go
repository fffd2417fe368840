package simulator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/airlock-run/airlock/internal/app/config"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/domain/id"
)

const (
	// The emulator builds an index when a query first needs it, and there are too many documents to scan. Google's exist
	// before. So the queries are made while there are few more than that: also those about a process that has stopped, in
	// the second round.
	indexRounds, indexRuns, indexClients = 2, 250, 32
	// modelRuns are posted before the backlog is made. The last of them waits behind the others, as those of the backlog
	// do.
	modelRuns = 64
	// seedBatch is the number of documents of a commit, seedWriters that of commits at a time.
	seedBatch, seedWriters = 500, 4
	// dueSpread is the time over which the due times of a long backlog are spread: the longest interval at which what
	// waits is due again. Times after dueHorizon are deadlines and stay.
	dueSpread, dueHorizon = 15 * time.Minute, time.Hour
)

// Backlog is what waits when a scenario begins: the same number of executions for each tenant.
type Backlog struct {
	Tenants, Each int
	Input         Input
}

// StartWithBacklog starts a fleet in which a backlog waits. It runs some executions, posts some more while no executor
// runs, and copies what the last POST has stored and published: its documents, with other IDs, and its messages. So it
// knows nothing of how a waiting execution is stored. The processes start after that, and find the backlog as after an
// outage. Jobs that start are held until release is called.
func StartWithBacklog(ctx context.Context, o Options, b Backlog) (f *Fleet, release func(), err error) {
	if f, err = NewFleet(ctx, o); err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	var first tenant
	for range indexRounds {
		if first, err = f.runSome(ctx, "tenant-0"); err != nil {
			return f, nil, err
		}
	}
	if err := f.seed(ctx, first, b); err != nil {
		return f, nil, err
	}
	release = f.sandboxes.hold()
	if err := errors.Join(f.StartAPIs(ctx), f.StartExecutors(ctx)); err != nil {
		return f, nil, err
	}
	f.Meter.SetLatency(o.Latency)
	return f, release, f.awaitRunning(ctx, min(f.slots(), b.Tenants*b.Each), limit)
}

// runSome starts the services, runs some executions of a tenant, and stops the services.
func (f *Fleet) runSome(ctx context.Context, name string) (tenant, error) {
	if err := errors.Join(f.StartAPIs(ctx), f.StartExecutors(ctx)); err != nil {
		return tenant{}, err
	}
	t, err := f.warmUp(ctx, name)
	if err != nil {
		return t, err
	}
	finished, _, _ := f.Observer.Finished()
	if err := t.postMany(ctx, indexRuns, indexClients, Input{}); err != nil {
		return t, err
	}
	return t, errors.Join(f.awaitFinished(ctx, finished+indexRuns), f.stopServices())
}

// seed posts the model and copies it.
func (f *Fleet) seed(ctx context.Context, t tenant, b Backlog) error {
	if err := f.StartAPIs(ctx); err != nil {
		return err
	}
	t.url = f.apis[0].url
	f.Observer.recordMessages(true)
	var model accepted
	for range modelRuns {
		var err error
		if model, err = t.post(ctx, b.Input); err != nil {
			return err
		}
	}
	if err := f.stopServices(); err != nil { // which sends what is still to be published
		return err
	}
	f.Observer.recordMessages(false)

	s := seeder{model: model.id, tenant: t.name, messages: f.Observer.messagesNaming(model.id), now: time.Now()}
	for host, use := range map[string]func(*grpc.ClientConn){
		f.emulators.directFirestore: func(c *grpc.ClientConn) { s.firestore = firestorepb.NewFirestoreClient(c) },
		f.emulators.directPubSub:    func(c *grpc.ClientConn) { s.publisher = pubsubpb.NewPublisherClient(c) },
	} {
		conn, err := grpc.NewClient(host, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return err
		}
		defer conn.Close()
		use(conn)
	}
	return s.copyAll(ctx, b)
}

// seeder copies a waiting execution.
type seeder struct {
	firestore     firestorepb.FirestoreClient
	publisher     pubsubpb.PublisherClient
	model, tenant string
	document      *firestorepb.Document
	messages      []message // that name the model
	now           time.Time
}

const database = "projects/" + config.LocalProject + "/databases/(default)"

func documentOf(tenant, execution string) string {
	return fmt.Sprintf("%s/documents/tenants/%s/executions/%s", database, tenant, execution)
}

func (s *seeder) copyAll(ctx context.Context, b Backlog) error {
	var err error
	s.document, err = s.firestore.GetDocument(ctx, &firestorepb.GetDocumentRequest{Name: documentOf(s.tenant, s.model)})
	if err != nil {
		return err
	}
	if err := s.copyTenant(ctx, b.Tenants); err != nil {
		return err
	}
	// The others of the model's runs wait, too.
	total := b.Tenants*b.Each - min(modelRuns, b.Each)
	var writing errgroup.Group
	writing.SetLimit(seedWriters)
	for first := 0; first < total; first += seedBatch {
		writing.Go(func() error { return s.copySome(ctx, b, first, min(first+seedBatch, total), total) })
	}
	return writing.Wait()
}

// copyTenant copies the tenant's own document, which says that its executions wait, if there is one. Commits from
// before the dispatcher have none.
func (s *seeder) copyTenant(ctx context.Context, tenants int) error {
	name := func(tenant string) string { return database + "/documents/tenants/" + tenant }
	document, err := s.firestore.GetDocument(ctx, &firestorepb.GetDocumentRequest{Name: name(s.tenant)})
	if status.Code(err) == codes.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	for first := 1; first < tenants; first += seedBatch {
		commit := &firestorepb.CommitRequest{Database: database}
		for i := first; i < min(first+seedBatch, tenants); i++ {
			copied := proto.CloneOf(document)
			tenant := fmt.Sprintf("tenant-%d", i)
			copied.Name = name(tenant)
			copied.Fields["partition"] = &firestorepb.Value{
				ValueType: &firestorepb.Value_IntegerValue{IntegerValue: int64(fleet.Partition(tenant))},
			}
			commit.Writes = append(commit.Writes, &firestorepb.Write{Operation: &firestorepb.Write_Update{Update: copied}})
		}
		if _, err := s.firestore.Commit(ctx, commit); err != nil {
			return err
		}
	}
	return nil
}

// copySome makes the copies from first on, before last, of total. The tenants get theirs in turn.
func (s *seeder) copySome(ctx context.Context, b Backlog, first, last, total int) error {
	commit := &firestorepb.CommitRequest{Database: database}
	published := map[string]*pubsubpb.PublishRequest{}
	for i := first; i < last; i++ {
		newID, tenant := id.New(id.Execution), fmt.Sprintf("tenant-%d", b.Tenants-1-i%b.Tenants)
		commit.Writes = append(commit.Writes, &firestorepb.Write{
			Operation: &firestorepb.Write_Update{Update: s.copyDocument(newID, tenant, i, total)},
		})
		for _, m := range s.messages {
			if published[m.topic] == nil {
				published[m.topic] = &pubsubpb.PublishRequest{Topic: m.topic}
			}
			data := bytes.ReplaceAll(m.data, []byte(s.model), []byte(newID))
			data = bytes.ReplaceAll(data, []byte(`"`+s.tenant+`"`), []byte(`"`+tenant+`"`))
			published[m.topic].Messages = append(published[m.topic].Messages, &pubsubpb.PubsubMessage{Data: data})
		}
	}
	if _, err := s.firestore.Commit(ctx, commit); err != nil {
		return err
	}
	for _, request := range published {
		if _, err := s.publisher.Publish(ctx, request); err != nil {
			return err
		}
	}
	return nil
}

// copyDocument returns the i-th copy of the model. Its past times are a little earlier than those of the next copy; its
// due time is one of those of a backlog that has waited for long.
func (s *seeder) copyDocument(newID, tenant string, i, total int) *firestorepb.Document {
	copied := &firestorepb.Document{
		Name:   documentOf(tenant, newID),
		Fields: map[string]*firestorepb.Value{},
	}
	for name, value := range s.document.GetFields() {
		switch v := value.GetValueType().(type) {
		case *firestorepb.Value_StringValue:
			switch v.StringValue {
			case s.model:
				value = &firestorepb.Value{ValueType: &firestorepb.Value_StringValue{StringValue: newID}}
			case s.tenant:
				value = &firestorepb.Value{ValueType: &firestorepb.Value_StringValue{StringValue: tenant}}
			}
		case *firestorepb.Value_TimestampValue:
			at := s.copyTime(v.TimestampValue.AsTime(), i, total)
			value = &firestorepb.Value{ValueType: &firestorepb.Value_TimestampValue{TimestampValue: timestamppb.New(at)}}
		default:
			value = proto.CloneOf(value)
		}
		copied.Fields[name] = value
	}
	return copied
}

func (s *seeder) copyTime(at time.Time, i, total int) time.Time {
	switch wait := at.Sub(s.now); {
	case wait <= 0:
		return at.Add(-time.Duration(total-i) * 100 * time.Microsecond)
	case wait < dueHorizon:
		// In another order than that of acceptance, as times that were doubled are.
		return s.now.Add(dueSpread * time.Duration(uint32(i)*2654435761>>8) / (1 << 24))
	default:
		return at
	}
}
