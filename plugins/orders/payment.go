package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/wfrt/wfrt/sdk"
)

// paymentHost is the payment service as the plugin calls it. Where that is, the operator says in the grant.
const paymentHost = "payments"

func init() { sdk.AskHTTP(paymentHost, http.MethodPost) }

// pay asks the payment service for something, once for each task: what it has done for an attempt before it answers again.
func pay(ctx context.Context, what string, request, answer any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return sdk.Permanent(err)
	}
	req, err := http.NewRequestWithContext(sdk.WithCall(ctx, what), http.MethodPost, "http://"+paymentHost+"/"+what, bytes.NewReader(body))
	if err != nil {
		return sdk.Permanent(err)
	}
	req.Header.Set("Content-Type", "application/json")
	response, err := sdk.HTTPClient(ctx).Do(req)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // it is in memory
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	switch {
	case response.StatusCode == http.StatusOK || response.StatusCode == http.StatusCreated:
		return json.Unmarshal(content, answer)
	case response.StatusCode >= 400 && response.StatusCode < 500:
		return sdk.Permanent(fmt.Errorf("the payment service refuses: %s: %.200s", response.Status, content))
	default:
		return fmt.Errorf("the payment service fails: %s: %.200s", response.Status, content)
	}
}
