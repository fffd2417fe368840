package emulatortest_test

import (
	"fmt"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	pubsubemulator "github.com/airlock-run/airlock/emulator/pubsub"
)

func Example() {
	t, endTest := newExampleTest() // in a test, t is its *testing.T
	defer endTest()

	fs := emulatortest.StartFirestore(t, firestoreemulator.Options{})
	if _, err := fs.Client.Doc("orders/1").Set(t.Context(), map[string]any{"total": 7}); err != nil {
		t.Fatal(err)
	}
	order, err := fs.Client.Doc("orders/1").Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(order.Data()["total"])

	ps := emulatortest.StartPubSub(t, pubsubemulator.Options{})
	topic := "projects/" + emulatortest.Project + "/topics/orders"
	if _, err := ps.Client.TopicAdminClient.CreateTopic(t.Context(), &pubsubpb.Topic{Name: topic}); err != nil {
		t.Fatal(err)
	}
	p := ps.Client.Publisher(topic)
	defer p.Stop()
	if _, err := p.Publish(t.Context(), &pubsub.Message{Data: []byte("order 1")}).Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Output: 7
}
