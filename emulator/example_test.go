package emulator_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/emulator"
)

func Example() {
	ctx, stop := context.WithCancel(context.Background())
	e, err := emulator.Start(ctx, emulator.Options{PubSub: "127.0.0.1:0", Firestore: "127.0.0.1:0"})
	if err != nil {
		log.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- e.Serve(ctx) }()

	// Google's client libraries read these variables.
	os.Setenv("FIRESTORE_EMULATOR_HOST", e.Firestore)
	os.Setenv("PUBSUB_EMULATOR_HOST", e.PubSub)
	client, err := firestore.NewClient(ctx, "demo")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.Doc("users/ada").Set(ctx, map[string]any{"name": "Ada"}); err != nil {
		log.Fatal(err)
	}
	user, err := client.Doc("users/ada").Get(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(user.Data()["name"])

	client.Close()
	stop()
	fmt.Println(<-served)
	// Output:
	// Ada
	// <nil>
}
