// Caller is a guest whose step sends one request, and fails until it is answered with 200. Build versions of it:
// -ldflags "-X main.version=a".
package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/wfrt/wfrt/sdk"
)

var version = "none"

// Status is where a run stands.
type Status string

func init() {
	sdk.AskHTTP("there", http.MethodPost)
	sdk.NewWorkflow[struct{}, Status]("caller").Step("asked", call, "done").Retry(sdk.Exponential(time.Millisecond, time.Millisecond), 2)
}

func call(ctx context.Context, r *sdk.Run[struct{}, Status]) (none sdk.Outcome[Status], err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://there/", http.NoBody)
	if err != nil {
		return none, err
	}
	req.Header.Set("Module", version)
	response, err := sdk.HTTPClient(ctx).Do(req)
	if err != nil {
		return none, err
	}
	if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusOK {
		return none, errors.Join(err, errors.New(response.Status))
	}
	return r.To("done"), nil
}

func main() {}
