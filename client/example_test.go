package client_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/airlock-run/airlock/client"
)

// Run an agent once and wait for its result.
func Example() {
	ctx := context.Background()
	airlock, err := client.New("http://127.0.0.1:8000", client.WithAPIKey(os.Getenv("AIRLOCK_API_KEY")))
	if err != nil {
		log.Fatal(err)
	}
	agent, err := airlock.CreateAgent(ctx, client.CreateAgent{Name: "Counter", Instructions: "Count the words"})
	if err != nil {
		log.Fatal(err)
	}
	accepted, err := airlock.Run(ctx, agent.Id, client.RunAgent{Input: "one two three"})
	if err != nil {
		log.Fatal(err)
	}
	execution, err := airlock.Wait(ctx, accepted.ExecutionId)
	if err != nil {
		log.Fatal(err)
	}
	if execution.Status != client.StatusSucceeded {
		log.Fatal(execution.Error.Message)
	}
	fmt.Println(execution.Result.Text)
}

// Run an agent on many inputs, and read the results in the order of the inputs while others still run.
func ExampleClient_Results() {
	ctx := context.Background()
	airlock, err := client.New("http://127.0.0.1:8000")
	if err != nil {
		log.Fatal(err)
	}
	batch, err := airlock.SubmitBatch(ctx, "agt_…", strings.NewReader("\"one\"\n\"two\"\n"))
	if err != nil {
		log.Fatal(err)
	}
	for result, err := range airlock.Results(ctx, batch.Id, true) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(result.Index, result.Status, result.Result.Text)
	}
}

// List the executions that failed in production.
func ExampleClient_Executions() {
	ctx := context.Background()
	airlock, err := client.New("http://127.0.0.1:8000")
	if err != nil {
		log.Fatal(err)
	}
	for execution, err := range airlock.Executions(ctx, client.Filter{Status: client.StatusFailed, Label: "env=prod"}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(execution.Id, execution.Error.Code)
	}
}
