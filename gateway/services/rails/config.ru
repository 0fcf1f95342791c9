# Payments with Rails. It does not know of idempotency: it pays whenever it is asked.

require "logger"
require "action_controller/railtie"

LEDGER = ENV.fetch("LEDGER")

class Payments < Rails::Application
  config.load_defaults 6.1
  config.eager_load = true
  config.hosts.clear
  config.secret_key_base = "of a test"
  config.logger = Logger.new($stderr, level: Logger::ERROR)

  routes.append do
    post "/payments", to: "payments#pay"
    post "/payments/:payment/refunds", to: "payments#pay"
    post "/echo", to: "payments#echo"
    get "/payments", to: "payments#index"
    get "/healthz", to: ->(_) { [200, { "Content-Type" => "text/plain" }, ["ok"]] }
  end
end

class PaymentsController < ActionController::API
  include ActionController::Cookies

  def pay
    key = request.headers["X-Idempotency-Key"]
    attempt = request.headers["X-Idempotency-Attempt"].to_i
    append "#{LEDGER}.arrivals", key: key, attempt: attempt
    asked = JSON.parse(request.raw_post)
    @knobs = asked.fetch("sandbox", {})
    @knobs = {} if attempt >= @knobs.fetch("mended_at", attempt + 1)
    status = @knobs.fetch("status", 201)
    sleep @knobs.fetch("delay_ms", 0) / 1000.0
    hold_at "before", key
    fail_at "before"
    id, at = SecureRandom.uuid, Time.now.utc.iso8601(6)
    if status < 400
      scope = request.headers.fetch("Authorization", "anonymous").delete_prefix("Bearer ")
      append LEDGER, key: key, scope: scope, attempt: attempt, id: id, at: at
    end
    sleep @knobs.fetch("after_ms", 0) / 1000.0
    hold_at "after", key
    fail_at "after"
    receipt = asked.slice("amount", "currency", "to").merge(
      id: id, refund_of: params[:payment], attempt: attempt, created_at: at,
      previous: request.headers["X-Idempotency-Previous"],
      in_doubt: request.headers["X-Idempotency-In-Doubt"],
      padding: "x" * @knobs.fetch("bytes", 0)
    )
    answer receipt, status
  end

  def echo
    type = request.headers["Content-Type"] || "application/octet-stream"
    send_data request.raw_post, type: type, disposition: nil
  end

  def index
    lines = File.exist?(LEDGER) ? File.readlines(LEDGER).map { |line| JSON.parse(line) } : []
    render json: { count: lines.length, payments: lines }
  end

  private

  def answer(receipt, status)
    response.headers["Location"] = "/payments/#{receipt[:id]}"
    @knobs.fetch("headers", {}).each { |name, values| response.headers[name] = values.join("\n") }
    cookies[:session] = receipt[:id] if @knobs["set_cookie"]
    return head status if status == 204
    return render json: receipt, status: status unless @knobs["stream"]

    response.status = status
    is_events = @knobs["stream"] == "events"
    response.headers["Content-Type"] = is_events ? "text/event-stream" : "application/json"
    # Otherwise Rails reads all of it to make an ETag.
    response.headers["Last-Modified"] = Time.now.httpdate
    text = receipt.to_json
    self.response_body = Enumerator.new do |body|
      body << text[...10]
      fail_at "during"
      body << text[10..]
    end
  end

  def append(file, line)
    File.write(file, "#{line.to_json}\n", mode: "a")
  end

  def hold_at(moment, key)
    sleep 0.005 while @knobs["hold"] == moment && !File.exist?("#{LEDGER}.#{key}")
  end

  def fail_at(moment)
    Process.kill(:KILL, Process.pid) if @knobs["exit"] == moment
    raise "the request asked for an error #{moment} the effect" if @knobs["panic"] == moment
  end
end

Payments.initialize!
run Payments
