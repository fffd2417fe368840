import { useEffect, useRef } from 'react'

// A reader who has scrolled up further than this, in pixels, is not scrolled back.
const bottomMargin = 160

/** Scrolls a growing list to its end, as long as the reader has not scrolled up. */
export function useStickToBottom() {
  const scroller = useRef<HTMLDivElement>(null)
  useEffect(() => {
    const box = scroller.current
    if (box === null) {
      return
    }
    let atBottom = true
    const onScroll = () => {
      atBottom = box.scrollHeight - box.scrollTop - box.clientHeight < bottomMargin
    }
    const scroll = () => {
      if (atBottom) {
        box.scrollTop = box.scrollHeight
      }
    }
    scroll()
    const observer = new MutationObserver(scroll)
    observer.observe(box, { childList: true, subtree: true })
    box.addEventListener('scroll', onScroll)
    return () => {
      observer.disconnect()
      box.removeEventListener('scroll', onScroll)
    }
  }, [])
  return scroller
}
