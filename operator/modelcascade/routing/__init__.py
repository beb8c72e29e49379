"""Given a request's facts and the attempts so far, the next step."""
