import { pay } from "./pay.ts";

if (!(await pay(process.env["SHOP"]!, "in a runtime"))) throw new Error("not paid");
