// probe is the program of the Pod in the suite of the node itself. It answers the probes of the kubelet, and says
// what a Pod can do: whether it reaches the API server, as which user, and where it can write.
//
//	/healthz   answers 200
//	/api       the status and the body of the API server's answer to a SelfSubjectReview of this Pod
//	/file      the contents of a file: ?path=/config/greeting
//	/write     writes a file to a directory and says whether that succeeded: ?path=/scratch
//	/eat       takes this many MiB of memory: ?mebibytes=100
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const account = "/var/run/secrets/kubernetes.io/serviceaccount/"

var eaten [][]byte

func main() {
	http.HandleFunc("/healthz", func(answer http.ResponseWriter, _ *http.Request) { fmt.Fprintln(answer, "ok") })
	http.HandleFunc("/api", func(answer http.ResponseWriter, _ *http.Request) { fmt.Fprintln(answer, askAPI()) })
	http.HandleFunc("/file", func(answer http.ResponseWriter, request *http.Request) {
		fmt.Fprint(answer, read(request.URL.Query().Get("path")))
	})
	http.HandleFunc("/write", func(answer http.ResponseWriter, request *http.Request) {
		fmt.Fprintln(answer, write(request.URL.Query().Get("path")))
	})
	http.HandleFunc("/eat", eat)

	fmt.Printf("probe: uid %d gid %d\n", os.Getuid(), os.Getgid())
	stop, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	server := &http.Server{Addr: ":8080"}
	go func() {
		<-stop.Done()
		fmt.Println("probe: SIGTERM")
		server.Close()
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		fmt.Println("probe:", err)
		os.Exit(1)
	}
}

func askAPI() string {
	authority, err := os.ReadFile(account + "ca.crt")
	if err != nil {
		return err.Error()
	}
	token, err := os.ReadFile(account + "token")
	if err != nil {
		return err.Error()
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	client := &http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}},
	}
	host := net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	review := `{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}`
	request, _ := http.NewRequest("POST", "https://"+host+"/apis/authentication.k8s.io/v1/selfsubjectreviews", strings.NewReader(review))
	request.Header.Set("Authorization", "Bearer "+string(token))
	request.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(request)
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	return answer.Status + "\n" + string(body)
}

func read(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func write(directory string) string {
	if err := os.WriteFile(filepath.Join(directory, "probe"), []byte("written\n"), 0o600); err != nil {
		return err.Error()
	}
	return "written"
}

func eat(answer http.ResponseWriter, request *http.Request) {
	mebibytes, err := strconv.Atoi(request.URL.Query().Get("mebibytes"))
	if err != nil {
		http.Error(answer, err.Error(), http.StatusBadRequest)
		return
	}
	// The answer is sent first, because a client may send the request again when the answer fails.
	go func() {
		for range mebibytes {
			block := make([]byte, 1<<20)
			for i := 0; i < len(block); i += 4096 {
				block[i] = 1
			}
			eaten = append(eaten, block)
		}
	}()
	fmt.Fprintln(answer, "eating")
}
