package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// dial connects to each pair of a network and an address, and prints the results.
func dial(args []string) error {
	dialer := net.Dialer{Timeout: 2 * time.Second}
	for i := 0; i+1 < len(args); i += 2 {
		conn, err := dialer.DialContext(context.Background(), args[i], args[i+1])
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println("connected", args[i+1])
		_ = conn.Close()
	}
	return nil
}

// socket tries to create a socket of each address family and prints the results.
func socket(families []string) error {
	for _, family := range families {
		af, err := strconv.Atoi(family)
		if err != nil {
			return err
		}
		_, err = syscall.Socket(af, syscall.SOCK_STREAM, 0)
		if err != nil {
			_, err = syscall.Socket(af, syscall.SOCK_SEQPACKET, 0)
		}
		fmt.Println(af, err)
	}
	return nil
}

// post sends standard input to a URL and prints the answer.
func post(args []string) error {
	body, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, args[0], bytes.NewReader(body))
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(os.Stdout, res.Body)
	return err
}

// fetch prints the status and the body of each URL, or why there is none. It trusts the certificates on standard input.
func fetch(urls []string) error {
	certificates, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certificates)
	client := &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true,
	}}
	for _, url := range urls {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		res, err := client.Do(req)
		if err != nil {
			fmt.Println("error:", err)
			continue
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		fmt.Println(res.StatusCode, string(body), err)
	}
	return nil
}

// writePostRead writes the second argument to the file of the first, posts to the URL of the third, and after the
// answer prints the content of the file.
func writePostRead(args []string) error {
	if err := write(args[:2]); err != nil {
		return err
	}
	if err := post(args[2:]); err != nil {
		return err
	}
	return cat(args[:1])
}

// floodEgress sends requests to the egress socket as fast as it can, pipelined on several connections, until it is
// killed. It prints a line when it has begun.
func floodEgress([]string) error {
	const connections, pipelined = 16, 500
	requests := bytes.Repeat([]byte("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"), pipelined)
	var begun sync.Once
	for range connections - 1 {
		go floodOnce(requests, &begun)
	}
	floodOnce(requests, &begun)
	return nil
}

func floodOnce(requests []byte, begun *sync.Once) {
	for {
		conn, err := new(net.Dialer).DialContext(context.Background(), "unix", "/run/airlock/egress.sock")
		if err != nil {
			continue
		}
		go func() { _, _ = io.Copy(io.Discard, conn) }()
		for err == nil {
			_, err = conn.Write(requests)
			begun.Do(func() { fmt.Println("begun") })
		}
		_ = conn.Close()
	}
}

// spin uses CPU time and nothing else until it is killed. It prints a line when it has begun.
func spin([]string) error {
	fmt.Println("begun")
	for x := uint32(1); ; x = x*1664525 + 1013904223 {
		if x == 0 {
			fmt.Fprint(io.Discard, x) // the compiler must not remove the loop
		}
	}
}
