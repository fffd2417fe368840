package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/client"
	"github.com/airlock-run/airlock/internal/process"
	"github.com/airlock-run/airlock/internal/receipt"
)

func receiptCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "receipt",
		Short: "Show and verify execution receipts (how the sandbox isolated the job)",
		Args:  checkArgs(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(receiptShow(), receiptVerify())
	return cmd
}

func receiptShow() *cobra.Command {
	var s serverFlags
	cmd := &cobra.Command{
		Use:   "show EXECUTION",
		Short: "Print an execution's receipt, the input of verify",
		Args:  checkArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := process.Context()
			defer stop()
			c, err := s.newClient()
			if err != nil {
				return err
			}
			text, err := fetchReceipt(ctx, c, args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", text)
			return err
		},
	}
	s.addServerFlag(cmd.Flags())
	return cmd
}

func fetchReceipt(ctx context.Context, c *client.Client, executionID string) (json.RawMessage, error) {
	e, err := c.Execution(ctx, executionID)
	if err != nil {
		return nil, err
	}
	if len(e.Receipt) == 0 {
		return nil, fmt.Errorf("%s is %s and has no receipt", executionID, e.Status)
	}
	return e.Receipt, nil
}

func receiptVerify() *cobra.Command {
	var keyFile string
	var integrityOnly bool
	cmd := &cobra.Command{
		Use:   "verify --key PUBLIC.pem FILE",
		Short: "Check the signature of a receipt; - reads standard input",
		Args:  checkArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case keyFile == "" && !integrityOnly:
				return usageError(cmd, errNoReceiptKey)
			case keyFile != "" && integrityOnly:
				return usageError(cmd, errors.New("--key and --integrity-only exclude each other"))
			}
			text, err := readReceipt(cmd.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			if integrityOnly {
				return verifyIntegrity(cmd.OutOrStdout(), text)
			}
			key, err := readPublicKey(keyFile)
			if err != nil {
				return err
			}
			r, err := receipt.Verify(text, key)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "verified: %s, attempt %d, %s, signed with the key %s\n", r.Execution, r.Attempt, r.Status, r.Signature.KeyID)
			return err
		},
	}
	cmd.Flags().StringVar(&keyFile, "key", "", "file of the operator's public key (ed25519, PEM)")
	cmd.Flags().BoolVar(&integrityOnly, "integrity-only", false, "check the bytes alone, not who signed them")
	return cmd
}

var errNoReceiptKey = errors.New("name the operator's public key with --key: a receipt does not prove whose key signed it, " +
	"and a person who changes a receipt can sign it again. --integrity-only checks the bytes alone")

// verifyIntegrity says what it did not check: the key in a receipt may be anybody's.
func verifyIntegrity(out io.Writer, text []byte) error {
	r, err := receipt.VerifyIntegrity(text)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "intact: %s, attempt %d, %s\nThe signer was not checked: the key %s may be anybody's. "+
		"Name the operator's public key with --key.\n", r.Execution, r.Attempt, r.Status, r.Signature.KeyID)
	return err
}

// readPublicKey reads the operator's key.
func readPublicKey(file string) (ed25519.PublicKey, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--key: %w", err)
	}
	key, err := receipt.ParsePublicKey(text)
	if err != nil {
		return nil, fmt.Errorf("--key: %s: %w", file, err)
	}
	return key, nil
}

// readReceipt reads a receipt, alone or inside an execution as the API returns it.
func readReceipt(stdin io.Reader, path string) (text []byte, err error) {
	if path == "-" {
		text, err = io.ReadAll(io.LimitReader(stdin, maxReceiptFileBytes+1))
	} else {
		text, err = readFileLimited(path)
	}
	if err != nil {
		return nil, err
	}
	if len(text) > maxReceiptFileBytes {
		return nil, errors.New("the file is too large for a receipt")
	}
	var e struct {
		Receipt json.RawMessage `json:"receipt"`
	}
	if err := json.Unmarshal(text, &e); err == nil && len(e.Receipt) > 0 {
		return e.Receipt, nil
	}
	return bytes.TrimSpace(text), nil
}

// maxReceiptFileBytes is enough for an execution with its result.
const maxReceiptFileBytes = 4 << 20

func readFileLimited(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, maxReceiptFileBytes+1))
}
