package pubsub_test

import "os"

func childDir() (string, bool) { return os.LookupEnv("PUBSUB_CHILD_DIR") }

func runChild(dir string) { _ = dir }
