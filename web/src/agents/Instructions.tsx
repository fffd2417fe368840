/** An agent's instructions, collapsed unless open is set. */
export function Instructions({ text, open = false }: { text: string; open?: boolean }) {
  return (
    <details open={open} className="text-sm">
      <summary className="w-fit py-1 font-medium text-muted hover:text-accent">Instructions</summary>
      <p
        dir="auto"
        className="text-verbatim mt-1 max-h-96 overflow-y-auto rounded-lg bg-sunken p-3 leading-relaxed"
      >
        {text}
      </p>
    </details>
  )
}
