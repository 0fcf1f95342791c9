import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { PayButton } from "./pay-button";
import { usePayment } from "./use-payment";

function PayByMutation({ order }: { order: string }) {
  const payment = usePayment(order);
  return (
    <p>
      <button onClick={() => payment.mutate()}>Pay order {order}</button>
      <output>{payment.isSuccess && payment.data.paid ? "Paid" : payment.status}</output>
    </p>
  );
}

void import("./first");

createRoot(document.querySelector("main")!).render(
  <StrictMode>
    <QueryClientProvider client={new QueryClient()}>
      <PayButton order="4711" />
      <PayByMutation order="4712" />
    </QueryClientProvider>
  </StrictMode>,
);
