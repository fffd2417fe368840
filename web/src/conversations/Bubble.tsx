import type { ReactNode } from 'react'

/** A user's message. Its author knows it: it is not read out. */
export function Bubble({ text, children }: { text: string; children?: ReactNode }) {
  return (
    <div aria-live="off" className="flex flex-col items-end gap-2">
      <p dir="auto" className="text-verbatim max-w-[85%] rounded-2xl rounded-br-sm bg-soft px-4 py-2.5">
        <span className="sr-only">You: </span>
        {text}
      </p>
      {children}
    </div>
  )
}
